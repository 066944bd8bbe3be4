//! Which invocations a request is about: the query of lists and of orders for many.
//!
//! Its invariant: what is not understood is refused. A filter with a misspelt name would otherwise
//! be one that lets everything through, and an order would reach it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use everlog_log_schema::owner_api::InvocationQuery;
use everlog_log_schema::{InvocationId, PartitionId, StatusKind, partition_key_of, partition_of};

use crate::admin::AdminError;
use crate::url;

/// The invocations of one page, unless the request says.
const LIMIT_DEFAULT: usize = 100;
/// The invocations of one page, and of one order, at most.
const LIMIT_MAX: usize = 1_000;

/// A request's query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// What is filtered by, and how many are wanted.
    pub(super) query: InvocationQuery,
    /// Where to go on.
    pub(super) from: Place,
    /// Whether all are meant where nothing is filtered by.
    pub(super) all: bool,
}

/// A place in the list of all invocations, which is in order of partition and id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The partition.
    pub(super) partition: PartitionId,
    /// Behind this one, if any.
    pub(super) after: Option<InvocationId>,
}

impl Filter {
    /// Reads a query.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, AdminError> {
        let mut parameters = Parameters::read(query)?;
        let status = parameters.take("status")?.unwrap_or_default();
        let statuses = status.split(',').filter(|name| !name.is_empty()).map(status_of);
        let filter = Self {
            query: InvocationQuery {
                service: parameters.take("service")?,
                handler: parameters.take("handler")?,
                key: parameters.take("key")?,
                statuses: statuses.collect::<Result<_, _>>()?,
                deployment: None,
                after: None,
                limit: parameters.take_as("limit")?.unwrap_or(LIMIT_DEFAULT),
            },
            from: parameters.take_as("page")?.unwrap_or_default(),
            all: parameters.take_as("all")?.unwrap_or(false),
        };
        parameters.end()?;
        if !(1..=LIMIT_MAX).contains(&filter.query.limit) {
            return Err(malformed(format!("limit must be between 1 and {LIMIT_MAX}")));
        }
        Ok(filter)
    }

    /// Whether anything is filtered by.
    pub(super) fn is_any(&self) -> bool {
        let InvocationQuery { service, handler, key, statuses, deployment: _, after: _, limit: _ } =
            &self.query;
        service.is_some() || handler.is_some() || key.is_some() || !statuses.is_empty()
    }

    /// The partition behind the last that may hold any of them, and the first: all invocations of
    /// an object key live on one.
    pub(super) fn partitions(&self, partitions: u32) -> std::ops::Range<u32> {
        match &self.query.key {
            Some(key) => {
                let PartitionId(only) = partition_of(partition_key_of(key), partitions);
                only..only + 1
            }
            None => 0..partitions,
        }
    }
}

/// The text form, which is a page's token: the partition, and behind a dot the id.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.partition.0)?;
        self.after.map_or(Ok(()), |after| write!(f, ".{after}"))
    }
}

impl FromStr for Place {
    type Err = AdminError;

    fn from_str(text: &str) -> Result<Self, AdminError> {
        let (partition, after) = match text.split_once('.') {
            Some((partition, after)) => (partition, Some(after)),
            None => (text, None),
        };
        let wrong = || malformed("page is not the `next` of an answer".to_owned());
        Ok(Self {
            partition: PartitionId(partition.parse().map_err(|_| wrong())?),
            after: after.map(str::parse).transpose().map_err(|_| wrong())?,
        })
    }
}

fn status_of(name: &str) -> Result<StatusKind, AdminError> {
    StatusKind::ALL.into_iter().find(|status| status.name() == name).ok_or_else(|| {
        let names = StatusKind::ALL.map(StatusKind::name).join(", ");
        malformed(format!("status must be some of {names}, with commas in between"))
    })
}

/// The parameters of a query that nobody has taken yet.
pub(in crate::admin) struct Parameters(BTreeMap<String, Vec<String>>);

impl Parameters {
    /// Reads a query.
    pub(in crate::admin) fn read(query: Option<&str>) -> Result<Self, AdminError> {
        let read = url::query(query.unwrap_or_default());
        Ok(Self(read.map_err(|error| malformed(error.to_string()))?))
    }

    /// Takes the value of a parameter; an empty one is none.
    pub(in crate::admin) fn take(&mut self, name: &str) -> Result<Option<String>, AdminError> {
        let values = self.0.remove(name).unwrap_or_default();
        match values.as_slice() {
            [] => Ok(None),
            [value] if value.is_empty() => Ok(None),
            [value] => Ok(Some(value.clone())),
            _ => Err(malformed(format!("{name} is given twice"))),
        }
    }

    /// Takes the value of a parameter that is no mere text.
    pub(in crate::admin) fn take_as<T: FromStr>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, AdminError> {
        let value = self.take(name)?;
        let read = |value: String| value.parse().map_err(|_| wrong_value(name));
        value.map(read).transpose()
    }

    /// Refuses what is left.
    pub(in crate::admin) fn end(self) -> Result<(), AdminError> {
        const SHOWN_CHARS_MAX: usize = 80;
        self.0.into_keys().next().map_or(Ok(()), |name| {
            let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            Err(malformed(format!("parameter `{name}` is not known")))
        })
    }
}

fn wrong_value(name: &str) -> AdminError {
    malformed(format!("{name} has no value that can be read"))
}

fn malformed(reason: String) -> AdminError {
    AdminError::MalformedQuery(reason)
}

#[cfg(test)]
mod tests {
    use everlog_log_schema::PartitionKey;

    use super::*;

    #[test]
    fn a_query_says_which_invocations_are_meant() {
        let id = InvocationId { partition_key: PartitionKey(5), uuid: 6 };
        let query = format!(
            "service=Cart&handler=add&key=a%2Fb&status=running,backing-off&limit=7&page=3.{id}&all=true"
        );
        let filter = Filter::parse(Some(&query)).unwrap();
        let expected = InvocationQuery {
            service: Some("Cart".into()),
            handler: Some("add".into()),
            key: Some("a/b".into()),
            statuses: vec![StatusKind::Running, StatusKind::BackingOff],
            deployment: None,
            after: None,
            limit: 7,
        };
        assert_eq!(filter.query, expected);
        assert_eq!(filter.from, Place { partition: PartitionId(3), after: Some(id) });
        assert_eq!(filter.from.to_string(), format!("3.{id}"));
        assert!(filter.all && filter.is_any());
        let PartitionId(only) = partition_of(partition_key_of("a/b"), 8);
        assert_eq!(filter.partitions(8), only..only + 1);
    }

    #[test]
    fn a_query_that_says_nothing_means_all() {
        for query in [None, Some(""), Some("service=&status=")] {
            let filter = Filter::parse(query).unwrap();
            assert_eq!(filter.query.limit, LIMIT_DEFAULT);
            assert_eq!(filter.from, Place::default());
            assert!(!filter.is_any() && !filter.all);
            assert_eq!(filter.partitions(8), 0..8);
        }
        for by in ["service=S", "handler=h", "key=k", "status=paused"] {
            assert!(Filter::parse(Some(by)).unwrap().is_any(), "{by}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (query, reason) in [
            ("sevrice=Cart", "`sevrice`"),
            ("service=A&service=B", "twice"),
            ("status=runing", "backing-off"),
            ("limit=0", "1000"),
            ("limit=1001", "1000"),
            ("limit=many", "limit"),
            ("page=x", "page"),
            ("page=1.x", "page"),
            ("all=yes", "all"),
            ("key=%zz", "%25"),
        ] {
            let error = Filter::parse(Some(query)).unwrap_err();
            let AdminError::MalformedQuery(said) = &error else { panic!("{query}: {error}") };
            assert!(said.contains(reason), "{query}: {said}");
        }
        assert_eq!(Filter::parse(Some("limit=1000")).unwrap().query.limit, LIMIT_MAX);
    }
}
