//! A Prometheus under test.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::folder;

/// It is there after a second; what takes so long will not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with the project's rules in a hurry; killed when this is dropped, and its data removed.
pub struct Server {
    child: Child,
    address: String,
    folder: TempDir,
}

/// A rule as the server has it.
#[derive(Debug, Deserialize)]
pub struct Rule {
    pub name: String,
    pub query: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub annotations: Texts,
    #[serde(default)]
    pub labels: Texts,
}

/// An alert that is pending or fires.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    pub labels: Texts,
    pub annotations: Texts,
    pub state: String,
}

/// Names and what they stand for.
pub type Texts = BTreeMap<String, String>;

/// One series of an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Sample {
    pub metric: Texts,
    value: (f64, String),
}

impl Sample {
    pub fn value(&self) -> f64 {
        self.value.1.parse().unwrap()
    }
}

/// What a minute of the rules is here, in seconds.
const MINUTE: u32 = 2;
/// Two of a minute's: a scrape may take as long as there is between two.
const SCRAPES: &str = "scrape_interval: 2s";

/// A rule's text in a hurry: `for` and ranges are of minutes.
pub fn hastened(text: &str) -> String {
    let seconds = |time: &str| Some(format!("{}s", MINUTE * time.strip_suffix('m')?.parse::<u32>().ok()?));
    let mut lines = String::new();
    for line in text.lines() {
        let (before, waits) = line.split_once("for: ").unwrap_or((line, ""));
        let line = match seconds(waits).filter(|_| before.trim().is_empty()) {
            Some(time) => format!("{before}for: {time}"),
            None => line.to_owned(),
        };
        // `a[5m]`: the first part has no range before it.
        for (number, part) in line.split('[').enumerate() {
            let (range, rest) = part.split_once(']').unwrap_or((part, ""));
            match seconds(range).filter(|_| number > 0) {
                Some(time) => lines += &format!("[{time}]{rest}"),
                None => lines += &format!("{}{part}", if number > 0 { "[" } else { "" }),
            }
        }
        lines.push('\n');
    }
    lines
}

impl Server {
    /// Ready, with the project's own configuration and rules, and this target.
    #[track_caller]
    pub fn scraping(target: &str) -> Self {
        let own = tempfile::tempdir().unwrap();
        fs::create_dir(own.path().join("rules")).unwrap();
        for entry in fs::read_dir(folder().join("rules")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let text = hastened(&fs::read_to_string(&path).unwrap());
                fs::write(own.path().join("rules").join(path.file_name().unwrap()), text).unwrap();
            }
        }
        let config = fs::read_to_string(folder().join("prometheus.yml")).unwrap();
        assert!(config.contains("127.0.0.1:9477") && config.contains("scrape_interval: 15s"), "{config}");
        let config = config.replace("127.0.0.1:9477", target).replace("scrape_interval: 15s", SCRAPES);
        fs::write(own.path().join("prometheus.yml"), format!("global: {{ evaluation_interval: 500ms }}\n{config}"))
            .unwrap();
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", own.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", own.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(own.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { child, address, folder: own };
        let end = Instant::now() + PATIENCE;
        while !server.get("/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            assert!(Instant::now() < end, "{}", server.log());
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// What it complained of.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        // 1.0: the answer is in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    #[track_caller]
    fn data(&self, path: &str) -> Value {
        let answer = self.get(path).unwrap();
        let body = answer.split_once("\r\n\r\n").expect(&answer).1;
        let mut body: Value = serde_json::from_str(body).expect(body);
        assert_eq!(body["status"], "success", "{path}: {body}");
        body["data"].take()
    }

    /// What a query gives now.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<Sample> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let encoded = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        let mut data = self.data(&format!("/api/v1/query?query={}", query.bytes().map(encoded).collect::<String>()));
        serde_json::from_value(data["result"].take()).expect(query)
    }

    /// The sum of what a query gives; 0 if that is nothing.
    pub fn sum(&self, query: &str) -> f64 {
        self.query(query).iter().map(Sample::value).sum()
    }

    /// Alerts that fire.
    pub fn firing(&self) -> Vec<Alert> {
        let alerts: Vec<Alert> = serde_json::from_value(self.data("/api/v1/alerts")["alerts"].take()).unwrap();
        alerts.into_iter().filter(|alert| alert.state == "firing").collect()
    }

    /// Every rule.
    pub fn rules(&self) -> Vec<Rule> {
        let mut groups = self.data("/api/v1/rules");
        let groups = groups["groups"].as_array_mut().unwrap();
        let rules = groups.iter_mut().map(|group| group["rules"].take());
        rules.flat_map(|rules| serde_json::from_value::<Vec<Rule>>(rules).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn minutes_become_seconds() {
    for (text, expected) in [
        ("        for: 10m\n", "        for: 20s\n"),
        ("rate(a[5m]) > 0 and b[15m]\n", "rate(a[10s]) > 0 and b[30s]\n"),
        ("summary: \"for: 5m and a[x] [5mb]\"\n", "summary: \"for: 5m and a[x] [5mb]\"\n"),
    ] {
        assert_eq!(hastened(text), expected);
    }
}
