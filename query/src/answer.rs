//! Writes what a query gives as its caller wants it.
//!
//! **Invariant:** what is written so far is reserved, and rows are counted before they are written.

use datafusion::arrow::array::{Array as _, RecordBatch};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::{JsonArray, Writer};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use everlog_gateway::{SqlError, SqlForm};
use futures_util::StreamExt as _;

use crate::source::wrapped;

/// What is written, in bytes, before what it takes is reserved anew; or else a row.
const BYTES_AT_ONCE: usize = 1 << 20;
/// What stands around the rows in JSON.
const BEFORE_ROWS: &[u8] = b"{\"rows\":";
const BEHIND_ROWS: &[u8] = b"}";

/// Where rows are written.
enum Writing {
    Json(Box<Writer<Vec<u8>, JsonArray>>),
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

/// Writes all rows.
pub(crate) async fn write(
    mut rows: SendableRecordBatchStream,
    form: SqlForm,
    rows_max: usize,
    reserved: &MemoryReservation,
) -> Result<Vec<u8>, DataFusionError> {
    let mut writing = match form {
        SqlForm::Json => {
            let builder = WriterBuilder::new().with_explicit_nulls(true);
            Writing::Json(Box::new(builder.build(BEFORE_ROWS.to_vec())))
        }
        SqlForm::Arrow => {
            Writing::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &rows.schema())?))
        }
    };
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows();
        if count > rows_max {
            return Err(wrapped(SqlError::RowsExceeded { max: rows_max }));
        }
        let at_once = rows_at_once(&batch)?;
        for from in (0..batch.num_rows()).step_by(at_once) {
            writing.write(&batch.slice(from, at_once.min(batch.num_rows() - from)))?;
            reserved.try_resize(writing.bytes())?;
        }
        // Whoever else is served by this thread has its turn.
        tokio::task::yield_now().await;
    }
    Ok(writing.finish()?)
}

/// How many rows of a batch are written at once.
fn rows_at_once(batch: &RecordBatch) -> Result<usize, ArrowError> {
    let parts = bytes_of(batch)?.div_ceil(BYTES_AT_ONCE);
    Ok(batch.num_rows().div_ceil(parts.max(1)).max(1))
}

/// What the rows of a batch take, which may be a part of what its columns hold, in bytes.
pub(crate) fn bytes_of(batch: &RecordBatch) -> Result<usize, ArrowError> {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size()).sum()
}

impl Writing {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::Json(writer) => writer.write(rows),
            Self::Arrow(writer) => writer.write(rows),
        }
    }

    /// What is written takes so much.
    fn bytes(&mut self) -> usize {
        match self {
            Self::Json(writer) => writer.get_ref().capacity(),
            Self::Arrow(writer) => writer.get_ref().capacity(),
        }
    }

    fn finish(self) -> Result<Vec<u8>, ArrowError> {
        match self {
            Self::Json(mut writer) => {
                writer.finish()?;
                let mut text = writer.into_inner();
                text.extend_from_slice(BEHIND_ROWS);
                Ok(text)
            }
            Self::Arrow(writer) => writer.into_inner(),
        }
    }
}
