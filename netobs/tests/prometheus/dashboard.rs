//! The dashboards' files, as far as they ask something.

use std::fs;

use serde::Deserialize;
use serde_json::Value;

use super::folder;

/// A dashboard.
#[derive(Debug, Deserialize)]
pub struct Dashboard {
    pub uid: String,
    pub title: String,
    #[serde(rename = "schemaVersion")]
    pub schema: u32,
    pub tags: Vec<String>,
    pub templating: Value,
    pub panels: Vec<Panel>,
}

/// A panel.
#[derive(Debug, Deserialize)]
pub struct Panel {
    pub id: u32,
    pub title: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub description: String,
    pub datasource: Value,
    #[serde(rename = "gridPos")]
    pub place: Place,
    pub targets: Vec<Target>,
    #[serde(rename = "fieldConfig")]
    pub fields: Value,
}

/// Where it is, on a grid 24 columns wide.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Place {
    pub x: u32,
    pub y: u32,
    pub w: u32,
    pub h: u32,
}

/// A query.
#[derive(Debug, Deserialize)]
pub struct Target {
    #[serde(rename = "refId")]
    pub id: String,
    pub expr: String,
    #[serde(rename = "legendFormat", default)]
    pub legend: String,
}

impl Dashboard {
    /// All there are, by name.
    pub fn all() -> Vec<Self> {
        let mut files: Vec<_> =
            fs::read_dir(folder().join("grafana")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let read = |path| serde_json::from_str(&fs::read_to_string(path).unwrap());
        files.iter().map(|path| read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).collect()
    }

    /// Names of its variables.
    pub fn variables(&self) -> Vec<&str> {
        let list = self.templating["list"].as_array().unwrap();
        list.iter().map(|variable| variable["name"].as_str().unwrap()).collect()
    }
}

impl Place {
    /// Whether two cover one another.
    pub fn overlaps(&self, other: &Self) -> bool {
        let apart = |from: u32, size: u32, other: u32, others: u32| from + size <= other || other + others <= from;
        !apart(self.x, self.w, other.x, other.w) && !apart(self.y, self.h, other.y, other.h)
    }
}

impl Target {
    /// Labels that its legend names: `{{netns}}`.
    pub fn told(&self) -> Vec<String> {
        self.legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().to_owned()).collect()
    }

    /// As Grafana would ask it with every host and namespace chosen, and short ranges.
    pub fn asked(&self) -> String {
        let text = self.expr.replace("$instance", ".*").replace("$netns", ".*");
        let text = text.replace("$__rate_interval", "10s").replace("$__range", "60s").replace("[5m]", "[20s]");
        assert!(!text.contains('$'), "{text}");
        text
    }
}
