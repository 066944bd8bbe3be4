//! Lists that have a limit on their elements.
//!
//! **Invariant:** a reader stops at the first element above the limit: an element may be a hundred
//! times larger in memory than in bytes, so the limit on the bytes alone would not bound the memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! list {
    ($(#[$doc:meta])* $name:ident at most $max:expr) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use super::{Deserialize, Deserializer, Serialize, Serializer};
            use crate::limits;

            pub(crate) fn serialize<S: Serializer, T: Serialize>(
                list: &[T],
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                super::write(list, $max, serializer)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
                deserializer: D,
            ) -> Result<Vec<T>, D::Error> {
                super::read($max, deserializer)
            }
        }
    };
}

list!(/// The commands of a record.
    commands at most limits::RECORD_COMMANDS_MAX);
list!(/// The entries of a journal, or what refers to them.
    entries at most limits::JOURNAL_ENTRIES_MAX as usize);
list!(/// Headers and other named values.
    headers at most limits::HEADERS_MAX);
list!(/// The keys of an object's state.
    state_keys at most limits::STATE_KEYS_MAX as usize);
list!(/// The keys of an object's state that a handler names.
    eager_state_keys at most limits::EAGER_STATE_KEYS_MAX);
list!(/// The services of a deployment.
    services at most limits::SERVICES_MAX);
list!(/// The handlers of a service.
    handlers at most limits::HANDLERS_MAX);

list!(/// The rows of a page.
    page at most limits::PAGE_ROWS_MAX);
list!(/// The ranges of a question.
    row_ranges at most limits::ROW_RANGES_MAX);
list!(/// What a process holds.
    holdings at most limits::HOLDINGS_MAX);

fn write<S: Serializer, T: Serialize>(
    list: &[T],
    max: usize,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if list.len() > max {
        let text = format_args!("list of {} elements exceeds the limit of {max}", list.len());
        return Err(S::Error::custom(text));
    }
    list.serialize(serializer)
}

struct List<T> {
    max: usize,
    element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} elements", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() == self.max {
                let text = format_args!("list exceeds the limit of {} elements", self.max);
                return Err(A::Error::custom(text));
            }
            list.push(element);
        }
        Ok(list)
    }
}

fn read<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    max: usize,
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(List { max, element: PhantomData })
}
