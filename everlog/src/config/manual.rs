//! Holds `docs/configuration.md` and the table of settings to what the settings are.

#![cfg(test)]

use std::fmt::Write;

use expect_test::expect_file;

use super::Settings;
use super::aliases::{ALIASES, Alias, Meaning};
use super::show::{shown, values};
use super::table::{SETTINGS, Setting, is_name};

/// The default of a setting, as people read it; none for what is set per name.
pub(super) fn default_of(setting: &Setting, settings: &Settings) -> Option<String> {
    let mut all = values(settings).into_iter();
    all.find(|(path, _)| path.join(".") == setting.key).map(|(_, value)| shown(&value))
}

fn is_of_names(setting: &Setting) -> bool {
    setting.key.split('.').any(is_name)
}

fn variable(key: &str) -> String {
    let part = |part: &str| if is_name(part) { part.to_owned() } else { part.to_uppercase() };
    format!("EVERLOG_{}", key.split('.').map(part).collect::<Vec<_>>().join("__"))
}

fn page() -> String {
    let mut page = include_str!("manual.md").to_owned();
    page.push_str("\n| setting | default | flag | what it does |\n|---|---|---|---|\n");
    for setting in &SETTINGS {
        let default = default_of(setting, &Settings::default())
            .filter(|default| default != "-")
            .map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
        let flag = setting.flag.map_or_else(String::new, |flag| format!("`{flag}`"));
        let (key, what, value) = (setting.key, setting.what, setting.unit.expected());
        writeln!(page, "| `{key}` | {default} | {flag} | {what} Value: {value}. |").unwrap();
    }
    page.push_str(include_str!("aliases.md"));
    page.push_str("\n| variable | setting |\n|---|---|\n");
    for Alias { variable, meaning } in &ALIASES {
        match meaning {
            Meaning::Setting(key, _) => writeln!(page, "| `{variable}` | `{key}` |").unwrap(),
            Meaning::Nothing(reason) => {
                writeln!(page, "| `{variable}` | has no effect: {reason} |").unwrap();
            }
        }
    }
    page
}

#[test]
fn the_manual_is_written_from_the_table() {
    expect_file!["../../../docs/configuration.md"].assert_eq(&page());
}

#[test]
fn the_table_has_each_setting_once() {
    let settings = values(&Settings::default());
    let mut known: Vec<_> = settings.iter().map(|(path, _)| path.join(".")).collect();
    let mut listed: Vec<_> = SETTINGS
        .iter()
        .filter(|setting| !is_of_names(setting))
        .map(|setting| setting.key)
        .collect();
    known.sort_unstable();
    listed.sort_unstable();
    assert_eq!(known, listed);
}

#[test]
fn the_variables_of_the_manual_are_understood() {
    let apart = ["fsync", "kafka.properties.PROPERTY"];
    for setting in SETTINGS.iter().filter(|setting| !apart.contains(&setting.key)) {
        let default = default_of(setting, &Settings::default()).filter(|default| default != "-");
        let brokers = setting.key == "kafka.bootstrap_servers";
        let value = default.unwrap_or_else(|| if brokers { "a:1" } else { "1" }.into());
        let variable = (variable(setting.key), value);
        let given = super::layers::of_environment(std::iter::once(variable)).unwrap();
        let parts: Vec<_> = given.iter().map(|given| given.path.join(".")).collect();
        assert_eq!(parts, [setting.key]);
        super::merge(given).unwrap();
    }
}
