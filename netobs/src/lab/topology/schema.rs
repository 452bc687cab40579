use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Topology;

/// The format of topology files as a JSON schema (draft 2020-12), made from the types and their documentation.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Topology>();
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::schema;

    #[test]
    fn says_what_every_field_is() {
        fn check(value: &serde_json::Value, place: &str) {
            for (name, field) in value["properties"].as_object().into_iter().flatten() {
                let told = field["description"].is_string() || field["const"].is_string();
                assert!(told, "{place}.{name}: {field}");
                check(field, &format!("{place}.{name}"));
            }
        }
        let schema = schema();
        check(&schema, "");
        let parts = schema["$defs"].as_object().unwrap();
        assert!(parts.contains_key("Node") && parts.contains_key("End"), "{parts:?}");
        parts.iter().for_each(|(name, part)| check(part, name));
    }
}
