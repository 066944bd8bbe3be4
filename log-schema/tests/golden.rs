//! The reader matrix: what any released version has written, this version reads, and what it
//! writes today is what the newest golden files say, byte for byte.
//!
//! A golden file holds hex: for a row the bytes of its key and of its value, for all else one line.
//! `EVERLOG_WRITE_GOLDEN=1 cargo test -p everlog-log-schema --test golden this_version_writes`
//! writes the files of the newest level anew, which is right only before that level is released.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use everlog_log_schema::codec::{
    CHECKPOINT_KEY, LEVEL_MAX, decode_checkpoint, decode_member, decode_message,
    decode_metadata_change, decode_question, decode_record, decode_reply, decode_row,
    encode_checkpoint, encode_member, encode_message, encode_metadata_change, encode_question,
    encode_record, encode_reply, encode_row, row_changed_at,
};
use everlog_log_schema::{LogOffset, RowKey};
use samples::Sample;

/// The frozen header in front of a message.
const ENVELOPE_BYTES: usize = 30;

/// The record that changed every row of the golden files.
const CHANGED_AT: LogOffset = LogOffset(1_000_000);

/// The samples of each level, as a reader of today sees them.
fn levels() -> BTreeMap<u32, Vec<(String, Sample)>> {
    BTreeMap::from([(1, samples::level_1())])
}

#[test]
fn this_version_writes_the_newest_golden_files() {
    let write = std::env::var_os("EVERLOG_WRITE_GOLDEN").is_some();
    for (name, sample) in &levels()[&LEVEL_MAX.0] {
        let path = golden_path(LEVEL_MAX.0, name);
        let text = to_text(&write_sample(sample));
        if write {
            fs::write(&path, text).unwrap();
        } else {
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name}");
        }
    }
}

#[test]
fn this_version_reads_what_every_version_wrote() {
    for (level, samples) in levels() {
        for (name, sample) in samples {
            assert_eq!(
                read_sample(&sample, &golden(level, &name)),
                sample,
                "level {level}: {name}"
            );
        }
    }
}

#[test]
fn every_golden_file_is_read_by_a_sample() {
    for (level, samples) in levels() {
        let expected: BTreeSet<_> = samples.iter().map(|(name, _)| format!("{name}.hex")).collect();
        let found: BTreeSet<_> = fs::read_dir(golden_dir(level))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, expected, "level {level}");
    }
}

#[test]
fn a_plain_avro_reader_understands_every_golden_file() {
    let schemas = schemas();
    for (level, samples) in levels() {
        for (name, sample) in samples {
            let parts = golden(level, &name);
            let value = match sample {
                Sample::Message(_) => &parts[0][ENVELOPE_BYTES..],
                Sample::Record(_)
                | Sample::MetadataChange(_)
                | Sample::Row(..)
                | Sample::Question(_)
                | Sample::Reply(_)
                | Sample::Member(_)
                | Sample::Checkpoint(_) => &parts.last().unwrap()[..],
            };
            assert_eq!(value[..2], [0xC3, 0x01], "{name}");
            let schema = &schemas[&value[2..10]];
            let mut body = &value[10..];
            let reader = GenericDatumReader::builder(schema).build().unwrap();
            let read = reader.read_value(&mut body).unwrap();
            assert!(body.is_empty(), "{name}");
            let writer = GenericDatumWriter::builder(schema).build().unwrap();
            assert_eq!(writer.write_value_to_vec(read).unwrap(), value[10..], "{name}");
        }
    }
}

#[test]
fn every_schema_has_a_golden_file() {
    let used: BTreeSet<Vec<u8>> = levels()
        .into_iter()
        .flat_map(|(level, samples)| samples.into_iter().map(move |(name, _)| golden(level, &name)))
        .flatten()
        .filter_map(|bytes| {
            let at = bytes.windows(2).position(|pair| pair == [0xC3, 0x01])?;
            bytes.get(at + 2..at + 10).map(<[u8]>::to_vec)
        })
        .collect();
    for (fingerprint, schema) in schemas() {
        assert!(used.contains(&fingerprint), "{schema:?}");
    }
}

#[test]
fn the_documentation_names_every_fingerprint() {
    let page = include_str!("../../docs/log-format.md");
    for level in fs::read_dir(schema_dir()).unwrap() {
        for file in fs::read_dir(level.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let schema = Schema::parse_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let line = format!("| `{name}` | `{}` |", schema.fingerprint::<Rabin>());
            assert!(page.contains(&line), "{line}");
        }
    }
}

#[test]
fn a_type_means_the_same_in_every_schema_of_a_level() {
    for level in levels().into_keys() {
        let mut types = BTreeMap::new();
        for text in schema_texts(&schema_dir().join(format!("level-{level}"))) {
            collect_types(&serde_json::from_str(&text).unwrap(), &mut types);
        }
        assert!(types.contains_key("everlog.Record"));
    }
}

/// Collects all named types, and compares those met before. A type that is first met in another
/// place may name a part that it spells out there, so parts are compared by their names.
fn collect_types(value: &serde_json::Value, types: &mut BTreeMap<String, serde_json::Value>) {
    if let Some(items) = value.as_array() {
        for item in items {
            collect_types(item, types);
        }
    } else if let Some(object) = value.as_object() {
        for part in object.values() {
            collect_types(part, types);
        }
        let kind = object.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
        if ["record", "enum", "fixed"].contains(&kind) {
            let name = object["name"].as_str().unwrap().to_owned();
            let by_name = with_parts_named(value, true);
            let known = types.entry(name.clone()).or_insert_with(|| by_name.clone());
            assert_eq!(*known, by_name, "{name}");
        }
    }
}

fn with_parts_named(value: &serde_json::Value, outermost: bool) -> serde_json::Value {
    if let Some(items) = value.as_array() {
        return items.iter().map(|item| with_parts_named(item, false)).collect();
    }
    let Some(object) = value.as_object() else { return value.clone() };
    if is_named_type(object) && !outermost {
        return object["name"].clone();
    }
    object.iter().map(|(key, part)| (key.clone(), with_parts_named(part, false))).collect()
}

/// Fields have a name too, but their type is a part of its own.
fn is_named_type(object: &serde_json::Map<String, serde_json::Value>) -> bool {
    object.contains_key("fields") || object.contains_key("symbols") || object.contains_key("size")
}

fn write_sample(sample: &Sample) -> Vec<Vec<u8>> {
    match sample {
        Sample::Message(envelope) => vec![encode_message(envelope).unwrap().to_vec()],
        Sample::Record(record) => vec![encode_record(record).unwrap().to_vec()],
        Sample::MetadataChange(change) => vec![encode_metadata_change(change).unwrap().to_vec()],
        Sample::Row(key, row) => {
            vec![key.to_bytes(), encode_row(row, CHANGED_AT).unwrap().to_vec()]
        }
        Sample::Checkpoint(row) => {
            vec![CHECKPOINT_KEY.to_vec(), encode_checkpoint(row).unwrap().to_vec()]
        }
        Sample::Question(question) => vec![encode_question(question).unwrap().to_vec()],
        Sample::Reply(reply) => vec![encode_reply(reply.clone()).unwrap().to_vec()],
        Sample::Member(member) => vec![encode_member(member).unwrap().to_vec()],
    }
}

fn read_sample(kind: &Sample, parts: &[Vec<u8>]) -> Sample {
    match kind {
        Sample::Message(_) => Sample::Message(decode_message(&parts[0]).unwrap()),
        Sample::Record(_) => Sample::Record(decode_record(&parts[0]).unwrap()),
        Sample::MetadataChange(_) => {
            Sample::MetadataChange(decode_metadata_change(&parts[0]).unwrap())
        }
        Sample::Row(..) => {
            let key = RowKey::from_bytes(&parts[0]).unwrap();
            let row = decode_row(&key, &parts[1]).unwrap();
            assert_eq!(row_changed_at(&parts[0], &parts[1]), Ok(CHANGED_AT));
            Sample::Row(key, row)
        }
        Sample::Question(_) => Sample::Question(decode_question(&parts[0]).unwrap()),
        Sample::Reply(_) => Sample::Reply(decode_reply(&parts[0]).unwrap()),
        Sample::Member(_) => Sample::Member(decode_member(&parts[0]).unwrap()),
        Sample::Checkpoint(_) => {
            assert_eq!(parts[0], CHECKPOINT_KEY);
            Sample::Checkpoint(decode_checkpoint(&parts[1]).unwrap())
        }
    }
}

fn schema_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

fn golden_dir(level: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/level-{level}"))
}

fn golden_path(level: u32, name: &str) -> PathBuf {
    golden_dir(level).join(format!("{name}.hex"))
}

/// The schemas of all levels, by fingerprint.
fn schemas() -> BTreeMap<Vec<u8>, Schema> {
    let levels = fs::read_dir(schema_dir()).unwrap().map(|level| level.unwrap().path());
    levels
        .flat_map(|level| schema_texts(&level))
        .map(|text| {
            let schema = Schema::parse_str(&text).unwrap();
            (schema.fingerprint::<Rabin>().bytes.clone(), schema)
        })
        .collect()
}

fn schema_texts(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Reads a golden file: the bytes of each of its paragraphs.
fn golden(level: u32, name: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(golden_path(level, name)).unwrap();
    text.split("\n\n")
        .map(|paragraph| {
            let digits: Vec<u8> = paragraph.bytes().filter(|byte| *byte != b'\n').collect();
            digits
                .chunks(2)
                .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        })
        .collect()
}

/// Writes hex, 32 bytes a line, with an empty line between the parts.
fn to_text(parts: &[Vec<u8>]) -> String {
    let paragraph = |bytes: &Vec<u8>| {
        bytes.chunks(32).fold(String::new(), |mut text, line| {
            for byte in line {
                write!(text, "{byte:02x}").unwrap();
            }
            text + "\n"
        })
    };
    parts.iter().map(paragraph).collect::<Vec<_>>().join("\n")
}
