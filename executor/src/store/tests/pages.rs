//! Pages of rows as they are stored.

use bytes::Bytes;
use everlog_log_schema::owner_api::{RowPage, RowRange};

use super::*;

const NO_LIMITS: PageLimits = PageLimits { rows: usize::MAX, bytes: usize::MAX };

/// The rows of some running invocations.
fn range(from: u128, below: u128) -> RowRange {
    let bytes = |uuid| running(uuid).to_bytes().into();
    RowRange { from: bytes(from), below: bytes(below) }
}

fn uuids(page: &RowPage) -> Vec<u128> {
    let uuid = |key: &Bytes| {
        let key = RowKey::from_bytes(key).unwrap();
        let RowKey::Running(id) = key else { panic!("{key:?}") };
        id.uuid
    };
    page.rows.iter().map(|(key, _)| uuid(key)).collect()
}

fn stored() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let rows = [1, 2, 4, 5, 6].map(|uuid| (running(uuid), Some(Row::Running)));
    write(&store, P0, 0, &rows);
    write(&store, P1, 0, &[(running(3), Some(Row::Running))]);
    (directory, store)
}

#[test]
fn a_page_holds_the_rows_of_its_ranges_as_they_are_stored() {
    let (_directory, store) = stored();
    let ranges = [range(0, 3), range(4, 5), range(6, 100)];
    let page = store.page(P0, &ranges, NO_LIMITS).unwrap();
    assert_eq!((uuids(&page), page.next), (vec![1, 2, 4, 6], None));
    for (key, value) in &page.rows {
        let key = RowKey::from_bytes(key).unwrap();
        assert_eq!(decode_row(&key, value).unwrap(), Row::Running);
    }
    assert_eq!(store.page(P0, &[range(3, 4), range(9, 2)], NO_LIMITS).unwrap(), RowPage::default());
    assert_eq!(store.page(P0, &[], NO_LIMITS).unwrap(), RowPage::default());
}

#[test]
fn no_range_leads_out_of_its_partition() {
    let (_directory, store) = stored();
    let all = RowRange { from: Bytes::new(), below: vec![0xFF; 64].into() };
    let kind = |key: &RowKey| matches!(key, RowKey::Running(_));
    let page = store.page(P1, &[all], NO_LIMITS).unwrap();
    let keys = page.rows.iter().map(|(key, _)| RowKey::from_bytes(key).unwrap());
    assert_eq!(keys.filter(kind).collect::<Vec<_>>(), [running(3)]);
}

#[test]
fn pages_end_at_their_limits_and_go_on_where_they_ended() {
    let (_directory, store) = stored();
    let whole = store.page(P0, &[range(1, 2)], NO_LIMITS).unwrap();
    let row_bytes: usize = whole.rows.iter().map(|(key, value)| key.len() + value.len()).sum();
    for limits in [
        PageLimits { rows: 2, ..NO_LIMITS },
        PageLimits { bytes: 2 * row_bytes, ..NO_LIMITS },
        PageLimits { bytes: 3 * row_bytes - 1, ..NO_LIMITS },
    ] {
        let first = store.page(P0, &[range(0, 100)], limits).unwrap();
        assert_eq!(uuids(&first), [1, 2], "{limits:?}");
        let rest = RowRange { from: first.next.unwrap(), ..range(0, 100) };
        let second = store.page(P0, &[rest], limits).unwrap();
        assert_eq!(uuids(&second), [4, 5], "{limits:?}");
        let rest = RowRange { from: second.next.unwrap(), ..range(0, 100) };
        let last = store.page(P0, &[rest], limits).unwrap();
        assert_eq!((uuids(&last), last.next), (vec![6], None), "{limits:?}");
    }
    let three = PageLimits { bytes: 3 * row_bytes, ..NO_LIMITS };
    assert_eq!(uuids(&store.page(P0, &[range(0, 100)], three).unwrap()), [1, 2, 4]);
}

#[test]
fn a_row_beyond_the_limit_is_a_page_of_its_own() {
    let (_directory, store) = stored();
    let page = store.page(P0, &[range(0, 100)], PageLimits { rows: 10, bytes: 1 }).unwrap();
    assert_eq!(uuids(&page), [1]);
    assert_eq!(page.next.as_deref(), Some(&running(2).to_bytes()[..]));
}
