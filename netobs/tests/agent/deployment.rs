//! The files that put an agent to work: each says the same as the agent, and works with the real thing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use netobs::agent::{Config, PRIVILEGES};
use serde_json::{Value, json};

use super::bed::{Bed, PORT, send};
use super::common::{Answer, has, netobs, run, skip};
use super::engines::docker::{Docker, can_run_docker};
use super::engines::pack;
use super::served::{Remote, Scrape};
use super::tracer::PATIENCE;

/// A file of the deployment, as it was built.
macro_rules! deployed {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/", $path))
    };
}

pub const UNIT: &str = deployed!("systemd/netobs-agent.service");
pub const SETTINGS: &str = deployed!("systemd/agent.toml");
const RECIPE: &str = deployed!("container/Containerfile");
const MANIFEST: &str = deployed!("kubernetes/netobs-agent.yaml");

/// The table's capabilities, sorted.
fn privileges() -> Vec<String> {
    let mut names: Vec<_> = PRIVILEGES.iter().map(|privilege| privilege.capability.to_string()).collect();
    names.sort();
    names
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<_> = names.map(|name| format!("CAP_{}", name.trim_start_matches("CAP_"))).collect();
    names.sort();
    names
}

fn read(text: &str) -> Config {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::read(file.path()).unwrap_or_else(|error| panic!("{error}: {text}")).0
}

#[test]
fn the_unit_is_one_and_leaves_the_agents_privileges() {
    let bounded = UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    assert_eq!(sorted(bounded.split(' ')), privileges());
    // Every flag that a file can set, at what it is anyway.
    let settings = read(SETTINGS);
    assert_eq!(settings.listen, Some("127.0.0.1:9477".parse().unwrap()));
    let help = run(netobs(), &["agent", "--help"]).good().stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for (flag, value) in [
        ("series-limit", settings.series_limit.map(|value| value.to_string())),
        ("drop-rows", settings.drop_rows.map(|value| value.to_string())),
        ("hop-rows", settings.hop_rows.map(|value| value.to_string())),
        ("program-stats", settings.program_stats.map(|value| value.to_string())),
    ] {
        let (_, after) = help.split_once(&format!("--{flag} <")).expect(flag);
        assert!(after.contains(&format!("[default: {}]", value.unwrap())), "{flag}: {after}");
    }
    // What it leaves to be decided can be: without the marks of a comment it is one more part of the file.
    let hash = bcrypt::hash("x", 4).unwrap();
    let lines = SETTINGS.lines().skip_while(|line| !line.starts_with("# [auth.users]")).collect::<Vec<_>>().join("\n");
    read(&lines.replace("# [", "[").replace("# prometheus", "prometheus").replace("$2y$10$…", &hash));
    if !has("systemd-analyze") {
        return skip("the_unit_is_one_and_leaves_the_agents_privileges", "no systemd-analyze to verify it with");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("netobs-agent.service");
    let netobs = PathBuf::from(netobs());
    fs::write(&path, UNIT.replace("/usr/local/bin/netobs", netobs.to_str().unwrap())).unwrap();
    let verified = run("systemd-analyze", &["verify", path.to_str().unwrap()]);
    let about = verified.stderr.lines().filter(|line| line.contains("netobs-agent")).collect::<Vec<_>>();
    assert!(verified.status == 0 && about.is_empty(), "{about:#?}");
}

#[test]
fn the_manifest_says_what_the_agent_needs() {
    let documents: Vec<Value> = serde_saphyr::from_multiple(MANIFEST).unwrap();
    let kinds: Vec<_> = documents.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Namespace", "ConfigMap", "DaemonSet"]);
    let [namespace, config, daemons] = &*documents else { unreachable!() };
    for own in [config, daemons] {
        assert_eq!(own["metadata"]["namespace"], namespace["metadata"]["name"]);
    }
    let settings = read(config["data"]["agent.toml"].as_str().unwrap());
    let port = settings.listen.unwrap().port();
    let template = &daemons["spec"]["template"];
    assert_eq!(daemons["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]);
    assert_eq!(
        template["metadata"]["annotations"],
        json!({
            "prometheus.io/scrape": "true",
            "prometheus.io/port": port.to_string(),
            "prometheus.io/path": "/metrics",
        })
    );
    let pod = &template["spec"];
    assert_eq!((&pod["hostPID"], &pod["hostNetwork"]), (&json!(true), &Value::Null));
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    let agent = &pod["containers"][0];
    assert_eq!(agent["ports"], json!([{ "name": "metrics", "containerPort": port }]));
    for (probe, path) in [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        assert_eq!(agent[probe]["httpGet"], json!({ "path": path, "port": "metrics" }), "{probe}");
    }
    let security = &agent["securityContext"];
    let added = security["capabilities"]["add"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    assert_eq!(sorted(added), privileges());
    assert_eq!((&security["capabilities"]["drop"], &security["privileged"]), (&json!(["ALL"]), &json!(false)));
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert!(agent["resources"]["limits"]["memory"].is_string() && agent["resources"]["requests"]["cpu"].is_string());
    // Each mount is of a volume, read-only, and namespaces that get a name later are seen.
    let mounts = agent["volumeMounts"].as_array().unwrap();
    let volumes: Vec<_> = pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    assert_eq!(mounts.iter().map(|mount| &mount["name"]).collect::<Vec<_>>(), volumes);
    assert!(mounts.iter().all(|mount| mount["readOnly"] == true), "{mounts:#?}");
    let netns = mounts.iter().find(|mount| mount["mountPath"] == "/run/netns").unwrap();
    assert_eq!(netns["mountPropagation"], "HostToContainer");
    let config = mounts.iter().find(|mount| mount["name"] == "config").unwrap()["mountPath"].as_str().unwrap();
    assert_eq!(agent["args"], json!(["agent", "--config", format!("{config}/agent.toml")]));
}

/// A folder with the libraries that netobs is linked to, from this machine, where its loader looks for them.
fn libraries(folder: &Path) {
    let told = run("ldd", &[netobs().to_str().unwrap()]).good().stdout;
    let paths = told.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    for path in paths {
        let own = folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::copy(path, own).unwrap();
    }
}

#[test]
fn the_image_runs_in_docker_and_sees_the_machine() {
    let test = "the_image_runs_in_docker_and_sees_the_machine";
    if !can_run_docker(test) {
        return;
    }
    if !has("ldd") {
        return skip(test, "no ldd");
    }
    let docker = Docker::start();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // No registry is asked: the base is what of this machine netobs is linked to.
    libraries(&at("base"));
    pack(&at("base"), &at("base.tar"));
    docker.run(&["import", at("base.tar").to_str().unwrap(), "netobs-base"]).good();
    fs::create_dir(at("context")).unwrap();
    fs::copy(netobs(), at("context/netobs")).unwrap();
    fs::write(at("context/Containerfile"), RECIPE).unwrap();
    pack(&at("context"), &at("context.tar"));
    let built = Command::new("docker")
        .args(["--host", &docker.host(), "build", "--build-arg", "BASE=netobs-base", "-t", "netobs"])
        .args(["-f", "Containerfile", "-"])
        .env("DOCKER_BUILDKIT", "0")
        .stdin(Stdio::from(fs::File::open(at("context.tar")).unwrap()))
        .output()
        .unwrap();
    Answer::from(built).good();

    // As the recipe has it, but for the network, which is the engine's, and where the engine listens.
    let command = RECIPE.lines().filter_map(|line| line.strip_prefix('#'));
    let command = command.map(|line| line.trim_end_matches('\\').trim()).collect::<Vec<_>>().join(" ");
    let (_, command) = command.split_once("docker run -d --name netobs ").unwrap();
    let (command, _) = command.split_once(" netobs ").unwrap_or((command.trim_end_matches(" netobs"), ""));
    let socket = docker.host();
    let socket = format!("{}:/var/run/docker.sock:ro", socket.trim_start_matches("unix://"));
    let command = command.replace("/var/run/docker.sock:/var/run/docker.sock:ro", &socket);
    let command = command.replace("--network host ", "").replace("--restart unless-stopped ", "");
    assert!(command.contains(&socket) && !command.contains("--network"), "{command}");
    let options: Vec<&str> = command.split_whitespace().collect();
    let agent = ["netobs", "agent", "--listen", "0.0.0.0:9477"];
    docker.run(&[&["run", "-d", "--name", "watcher"], &*options, &agent].concat()).good();

    let host = docker.lab.netns("host");
    let agent = Remote { netns: &host, address: format!("{}:9477", docker.address("watcher")).parse().unwrap() };
    let end = Instant::now() + PATIENCE;
    while !agent.get("/readyz").is_ok_and(|page| page.status == 200) {
        assert!(Instant::now() < end, "{:#?}", docker.run(&["logs", "watcher"]));
        sleep(Duration::from_millis(100));
    }
    let bed = Bed::new();
    send(&bed.left, "10.77.0.2", PORT, 70);
    let dropped =
        |netns: &str| format!("packet_drops_total{{netns=\"{netns}\",reason=\"NO_SOCKET\",cause=\"no-listener\"}}");
    // Its own container has the name that the engine has for it, once the engine gets to say so.
    let is_named = |scrape: &Scrape| scrape.with("netns_info", "container", "watcher").len() == 1;
    let scrape = agent.scrape_until(|scrape| scrape.count(&dropped(&bed.right)) >= 70 && is_named(scrape));
    assert_eq!(scrape.count(&dropped(&bed.right)), 70);
    let collectors = scrape.metric("collector_success");
    assert!(!collectors.is_empty() && collectors.iter().all(|(_, success)| *success == 1.0), "{collectors:?}");
    assert_eq!(scrape.with("netns_info", "netns", "host").len(), 1, "{}", scrape.text);
    let functions: Value = serde_json::from_str(&agent.get("/api/v1/drops").unwrap().body).unwrap();
    let mut rows = functions.as_array().unwrap().iter().filter(|row| row["netns"] == bed.right.as_str());
    assert!(rows.all(|row| row["function"].is_string()), "{functions:#}");
    docker.run(&["stop", "watcher"]).good();
    let status = docker.run(&["inspect", "--format", "{{.State.ExitCode}}", "watcher"]).good().stdout;
    assert_eq!(status.trim(), "0", "it was killed");
}
