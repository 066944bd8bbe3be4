//! What of a query's conditions is checked while rows are read: that a text is one of some.
//!
//! **Invariant:** what is taken here is checked here for each row, exactly as SQL means it. DataFusion
//! does not check it again.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::cell::{Cell, Column, Kind};

/// A column and the texts that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneOf {
    /// The column's name.
    pub(crate) column: &'static str,
    /// The texts.
    pub(crate) texts: BTreeSet<String>,
}

/// Conditions that all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters(Vec<OneOf>);

impl OneOf {
    /// Reads a condition; none where it says anything else.
    pub(crate) fn read<R>(expr: &Expr, columns: &[Column<R>]) -> Option<Self> {
        let (name, texts) = alternatives(expr)?;
        let is_text = |column: &&Column<R>| column.name == name && column.kind == Kind::Text;
        let column = columns.iter().find(is_text)?.name;
        Some(Self { column, texts })
    }
}

impl Filters {
    /// Reads conditions, all of which [`OneOf::read`] understands.
    pub(crate) fn of<R>(exprs: &[Expr], columns: &[Column<R>]) -> Self {
        Self(exprs.iter().filter_map(|expr| OneOf::read(expr, columns)).collect())
    }

    /// The texts that a column may have; none where it may have any.
    pub(crate) fn texts(&self, column: &str) -> Option<BTreeSet<&str>> {
        let mut of_column = self.0.iter().filter(|one_of| one_of.column == column);
        let first: BTreeSet<&str> = of_column.next()?.texts.iter().map(String::as_str).collect();
        Some(of_column.fold(first, |mut texts, more| {
            texts.retain(|text| more.texts.contains(*text));
            texts
        }))
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a record passes those whose column `counts`.
    pub(crate) fn pass<R>(
        &self,
        record: &R,
        columns: &[Column<R>],
        counts: impl Fn(&str) -> bool,
    ) -> bool {
        let mut counting = self.0.iter().filter(|one_of| counts(one_of.column));
        counting.all(|one_of| {
            let column = columns.iter().find(|column| column.name == one_of.column);
            match column.map(|column| (column.read)(record)) {
                Some(Cell::Text(text)) => one_of.texts.contains(text.as_ref()),
                // What is missing equals nothing.
                Some(_) | None => false,
            }
        })
    }

    /// Whether one of them is about such a column.
    pub(crate) fn any(&self, column: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|one_of| column(one_of.column))
    }
}

/// The texts that one column may have by a condition.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library has 30 more")]
fn alternatives(expr: &Expr) -> Option<(&str, BTreeSet<String>)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (column, text) = match name_of(left) {
                Some(column) => (column, text_of(right)?),
                None => (name_of(right)?, text_of(left)?),
            };
            Some((column, BTreeSet::from([text])))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (column, mut texts) = alternatives(left)?;
            let (other, more) = alternatives(right)?;
            texts.extend(more);
            (column == other).then_some((column, texts))
        }
        Expr::InList(list) if !list.negated => {
            let texts = list.list.iter().map(text_of).collect::<Option<_>>()?;
            Some((name_of(&list.expr)?, texts))
        }
        _ => None,
    }
}

fn name_of(expr: &Expr) -> Option<&str> {
    if let Expr::Column(column) = expr { Some(column.name()) } else { None }
}

fn text_of(expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    if let ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) =
        value
    {
        text.clone()
    } else {
        None
    }
}
