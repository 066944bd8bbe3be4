//! Columns, and how what is read of a row becomes a column of a batch.
//!
//! A table is a list of columns, each with a function that reads its cell of a record. **Invariant:** a
//! cell is none or of its column's kind; only the columns that a query needs are read.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, DurationMillisecondBuilder, LargeBinaryBuilder, LargeStringBuilder,
    ListBuilder, RecordBatch, RecordBatchOptions, TimestampMillisecondBuilder, UInt32Builder,
    UInt64Builder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::error::DataFusionError;
use everlog_log_schema::Millis;

use crate::limits::Pace;

/// The zone of all times.
const UTC: &str = "+00:00";

/// The last moment of the year 9999, in milliseconds: later ones have no text.
const TIME_MAX: i64 = 253_402_300_799_999;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Texts.
    Text,
    /// Numbers of 32 bits.
    Small,
    /// Numbers of 64 bits.
    Large,
    /// Points in time.
    Time,
    /// Durations.
    Duration,
    /// Yes or no.
    Flag,
    /// Bytes.
    Bytes,
    /// Lists of texts.
    Texts,
    /// Lists of numbers of 32 bits.
    Numbers,
}

/// What a record holds in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// Nothing.
    None,
    /// For [`Kind::Text`].
    Text(Cow<'a, str>),
    /// For [`Kind::Small`].
    Small(u32),
    /// For [`Kind::Large`].
    Large(u64),
    /// For [`Kind::Time`], and [`Kind::Duration`].
    Millis(Millis),
    /// For [`Kind::Flag`].
    Flag(bool),
    /// For [`Kind::Bytes`].
    Bytes(Cow<'a, [u8]>),
    /// For [`Kind::Texts`].
    Texts(Vec<Cow<'a, str>>),
    /// For [`Kind::Numbers`].
    Numbers(Vec<u32>),
}

impl<'a> Cell<'a> {
    /// A text that is at hand.
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A text that is made for this.
    pub(crate) fn made(text: &impl ToString) -> Self {
        Self::Text(Cow::Owned(text.to_string()))
    }

    /// What it takes as part of a column, in bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Texts(texts) => texts.iter().map(|text| text.len()).sum(),
            Self::Numbers(numbers) => size_of_val(numbers.as_slice()),
            Self::Small(_) | Self::Large(_) | Self::Millis(_) | Self::Flag(_) => size_of::<u64>(),
        }
    }

    /// What there may be.
    pub(crate) fn maybe<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::None, cell)
    }
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column<R: 'static> {
    /// Its name, as tools of the service protocol know it.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Reads it.
    pub(crate) read: fn(&R) -> Cell<'_>,
}

impl<R> Clone for Column<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Column<R> {}

impl<R> Column<R> {
    /// A column.
    pub(crate) const fn new(name: &'static str, kind: Kind, read: fn(&R) -> Cell<'_>) -> Self {
        Self { name, kind, read }
    }

    /// A column that tools ask for, and that has no meaning here.
    pub(crate) const fn absent(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, read: |_| Cell::None }
    }
}

impl Kind {
    fn data_type(self) -> DataType {
        let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
        match self {
            Self::Text => DataType::LargeUtf8,
            Self::Small => DataType::UInt32,
            Self::Large => DataType::UInt64,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
            Self::Duration => DataType::Duration(TimeUnit::Millisecond),
            Self::Flag => DataType::Boolean,
            Self::Bytes => DataType::LargeBinary,
            Self::Texts => list(DataType::LargeUtf8),
            Self::Numbers => list(DataType::UInt32),
        }
    }
}

/// The schema of these columns.
pub(crate) fn schema_of<R>(columns: &[Column<R>]) -> SchemaRef {
    let fields = columns.iter().map(|column| {
        // Any cell may be missing.
        Field::new(column.name, column.kind.data_type(), true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Makes a batch of records, of those of their columns that the schema is made of, in its order.
pub(crate) fn batch_of<R>(
    schema: SchemaRef,
    columns: &[&Column<R>],
    records: &[R],
    pace: &Pace,
) -> Result<RecordBatch, DataFusionError> {
    let arrays = columns.iter().map(|column| -> Result<ArrayRef, DataFusionError> {
        let mut builder = Builder::of(column.kind);
        for record in records {
            let cell = (column.read)(record);
            pace.check_cell(cell.bytes())?;
            builder.push(cell);
        }
        Ok(builder.finish())
    });
    let arrays = arrays.collect::<Result<_, _>>()?;
    // The number of rows is told apart, as there may be no column.
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}

enum Builder {
    Text(LargeStringBuilder),
    Small(UInt32Builder),
    Large(UInt64Builder),
    Time(TimestampMillisecondBuilder),
    Duration(DurationMillisecondBuilder),
    Flag(BooleanBuilder),
    Bytes(LargeBinaryBuilder),
    Texts(ListBuilder<LargeStringBuilder>),
    Numbers(ListBuilder<UInt32Builder>),
}

impl Builder {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(LargeStringBuilder::new()),
            Kind::Small => Self::Small(UInt32Builder::new()),
            Kind::Large => Self::Large(UInt64Builder::new()),
            Kind::Time => Self::Time(TimestampMillisecondBuilder::new().with_timezone(UTC)),
            Kind::Duration => Self::Duration(DurationMillisecondBuilder::new()),
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Bytes => Self::Bytes(LargeBinaryBuilder::new()),
            Kind::Texts => Self::Texts(ListBuilder::new(LargeStringBuilder::new())),
            Kind::Numbers => Self::Numbers(ListBuilder::new(UInt32Builder::new())),
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (builder, Cell::None) => builder.push_nothing(),
            (Self::Text(builder), Cell::Text(text)) => builder.append_value(text),
            (Self::Small(builder), Cell::Small(number)) => builder.append_value(number),
            (Self::Large(builder), Cell::Large(number)) => builder.append_value(number),
            (Self::Time(builder), Cell::Millis(millis)) => {
                builder.append_option(signed(millis).filter(|time| *time <= TIME_MAX));
            }
            (Self::Duration(builder), Cell::Millis(millis)) => {
                builder.append_option(signed(millis));
            }
            (Self::Flag(builder), Cell::Flag(flag)) => builder.append_value(flag),
            (Self::Bytes(builder), Cell::Bytes(bytes)) => builder.append_value(bytes),
            (Self::Texts(builder), Cell::Texts(texts)) => {
                for text in texts {
                    builder.values().append_value(text);
                }
                builder.append(true);
            }
            (Self::Numbers(builder), Cell::Numbers(numbers)) => {
                for number in numbers {
                    builder.values().append_value(number);
                }
                builder.append(true);
            }
            (_, cell) => unreachable!("a column of another kind holds {cell:?}"),
        }
    }

    fn push_nothing(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Small(builder) => builder.append_null(),
            Self::Large(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Duration(builder) => builder.append_null(),
            Self::Flag(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Texts(builder) => builder.append(false),
            Self::Numbers(builder) => builder.append(false),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Small(mut builder) => Arc::new(builder.finish()),
            Self::Large(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::Duration(mut builder) => Arc::new(builder.finish()),
            Self::Flag(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::Texts(mut builder) => Arc::new(builder.finish()),
            Self::Numbers(mut builder) => Arc::new(builder.finish()),
        }
    }
}

/// As many milliseconds as a column can hold: times are 63 bits wherever they are written.
fn signed(millis: Millis) -> Option<i64> {
    i64::try_from(millis.0).ok()
}
