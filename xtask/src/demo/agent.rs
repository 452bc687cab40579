//! An agent at work, and what it counts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::{Expected, LAB, Stage};

/// An answer takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// `netobs agent`; killed when this is dropped.
pub struct Agent {
    child: Child,
    address: String,
}

/// Every series with its value.
pub struct Scrape(Vec<(String, f64)>);

impl Agent {
    /// Starts one on a port of its own, and waits until it counts.
    pub fn start(stage: &Stage) -> Result<Self> {
        let arguments = ["agent", "--listen", "127.0.0.1:0"];
        stage.show(&format!("netobs {} &", arguments.join(" ")))?;
        let child = stage.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut agent = Self { child: child.context("start netobs")?, address: String::new() };
        let errors = agent.child.stderr.take().context("the agent has no standard error")?;
        let mut said = String::new();
        BufReader::new(errors).read_line(&mut said).context("read what the agent says")?;
        print!("{said}");
        let address = said.strip_prefix("serving: http://").and_then(|rest| rest.split_once('/'));
        agent.address = address.with_context(|| format!("the agent does not serve: {said}"))?.0.to_owned();
        Ok(agent)
    }

    /// As Prometheus would do.
    pub fn scrape(&self) -> Result<Scrape> {
        let mut stream = TcpStream::connect(&self.address).context("connect to the agent")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("read what the agent serves")?;
        let lines = answer.lines().filter_map(|line| line.rsplit_once(' '));
        let series = lines.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)));
        Ok(Scrape(series.collect()))
    }

    /// Shows what has risen, and which alert that is a matter of. What should have risen and has not is an error.
    pub fn tell(&self, expected: &Expected, before: &Scrape) -> Result<()> {
        let now = self.scrape()?;
        let netns = format!("{LAB}-{}", expected.node);
        for metric in &expected.rises {
            let (before, now) = (before.sum(metric, &netns), now.sum(metric, &netns));
            if now <= before {
                bail!("{metric} does not rise in {netns}: {before}, then {now}");
            }
            println!("  {netns:9}  {:8}  {metric}", format!("{before} -> {now}"));
        }
        println!("  alert fires if it goes on: {}", expected.alerts.join(", "));
        Ok(())
    }

    /// Ends it as Ctrl-C would.
    pub fn end(mut self) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT).context("end the agent")?;
        let status = self.child.wait().context("wait for the agent")?;
        if status.success() { Ok(()) } else { bail!("the agent ended with {status}") }
    }
}

impl Scrape {
    /// The sum of a metric's series in a namespace, all that have the labels it is given with.
    fn sum(&self, metric: &str, netns: &str) -> f64 {
        let (name, labels) = metric.split_once('{').unwrap_or((metric, ""));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        let wanted: Vec<String> = labels.map(str::to_owned).chain([format!("netns=\"{netns}\"")]).collect();
        let is_wanted = |series: &str| {
            let of_metric = series.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
            of_metric && wanted.iter().all(|label| series.contains(label.as_str()))
        };
        self.0.iter().filter(|(series, _)| is_wanted(series)).fold(0.0, |sum, (_, value)| sum + value)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
