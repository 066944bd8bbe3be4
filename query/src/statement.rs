//! Which queries are planned at all.
//!
//! **Invariants:** only what reads is planned. Nothing is planned whose plan could take the memory or the
//! stack of this process, as no limit is there yet that would stop it: what bounds the plan is counted in
//! the text before, and by `plan.rs` in the plan before it is worked on.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, ExplainStatement, Statement};
use datafusion::sql::sqlparser::ast::{self, Visit as _, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use everlog_gateway::SqlError;

use crate::limits::{CONCATENATIONS_MAX, PLAN_STEPS_MAX, SQL_BYTES_MAX, TOKENS_MAX};

/// How deep brackets and subqueries may be within each other.
const DEPTH_MAX: usize = 50;
/// The words of clauses that stand for a number of others that grows with a power of theirs.
const GROWING: [(Keyword, &str); 4] = [
    (Keyword::CUBE, "CUBE"),
    (Keyword::ROLLUP, "ROLLUP"),
    (Keyword::SETS, "GROUPING SETS"),
    (Keyword::RECURSIVE, "WITH RECURSIVE"),
];

/// Reads a query.
pub(crate) fn read(sql: &str) -> Result<Statement, SqlError> {
    too_complex("bytes", sql.len(), SQL_BYTES_MAX)?;
    check_tokens(sql)?;
    let parser = DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(DEPTH_MAX)
        .build();
    let statements = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = statements.map_err(|error| malformed(&error))?;
    let statement = statements.pop_front();
    let statement = statement.ok_or_else(|| SqlError::Malformed("it is empty".into()))?;
    if !statements.is_empty() {
        return Err(SqlError::Malformed("it has more than one statement".into()));
    }
    let reading = reading(&statement).ok_or_else(|| SqlError::NotAllowed(name_of(sql)))?;
    let mut growth = Growth::default();
    let largest = match reading.visit(&mut growth) {
        ControlFlow::Continue(()) => 0,
        ControlFlow::Break(steps) => steps,
    };
    too_complex("steps of its plan", largest, PLAN_STEPS_MAX)?;
    Ok(statement)
}

/// How many steps the named parts of a query (`WITH`) stand for, each with those that it uses: the
/// planner walks through each as often as it is used, and one may stand for two of the one before.
#[derive(Default)]
struct Growth(BTreeMap<String, usize>);

impl Visitor for Growth {
    type Break = usize;

    /// What is within a query has been visited before.
    fn post_visit_query(&mut self, query: &ast::Query) -> ControlFlow<usize> {
        for part in query.with.iter().flat_map(|with| &with.cte_tables) {
            let mut steps: usize = 1;
            let _ = ast::visit_relations(&part.query, |used| {
                let named = used.0.last().and_then(ast::ObjectNamePart::as_ident);
                let of_used = named.and_then(|name| self.0.get(&known_as(name)).copied());
                steps = steps.saturating_add(of_used.unwrap_or(1));
                ControlFlow::<()>::Continue(())
            });
            if steps > PLAN_STEPS_MAX {
                return ControlFlow::Break(steps);
            }
            let known = self.0.entry(known_as(&part.alias.name)).or_default();
            *known = steps.max(*known);
        }
        ControlFlow::Continue(())
    }
}

/// A name without its quotes. Names that differ in case alone are taken for the same.
fn known_as(name: &ast::Ident) -> String {
    name.value.to_lowercase()
}

fn check_tokens(sql: &str) -> Result<(), SqlError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| SqlError::Malformed(error.to_string()))?;
    let meant = tokens.iter().filter(|token| {
        let aside = Token::Comma == **token
            || matches!(token, Token::Whitespace(_) | Token::Number(..))
            || matches!(token, Token::SingleQuotedString(_));
        !aside
    });
    too_complex("words and signs", meant.count(), TOKENS_MAX)?;
    let joined = tokens.iter().filter(|token| **token == Token::StringConcat).count();
    too_complex("signs ||", joined, CONCATENATIONS_MAX)?;
    for token in &tokens {
        let Token::Word(word) = token else { continue };
        let growing = GROWING.iter().find(|(keyword, _)| *keyword == word.keyword);
        if let Some((_, name)) = growing {
            return Err(SqlError::NotAllowed(format!("{name} is not answered")));
        }
    }
    Ok(())
}

/// Refuses what there is too much of.
pub(crate) fn too_complex(what: &'static str, found: usize, max: usize) -> Result<(), SqlError> {
    if found > max { Err(SqlError::TooComplex { what, max }) } else { Ok(()) }
}

/// What the parser says of a text that it does not understand, the place included.
fn malformed(error: &DataFusionError) -> SqlError {
    let DataFusionError::SQL(error, _) = error.find_root() else {
        return SqlError::Malformed(error.strip_backtrace());
    };
    let text = error.to_string();
    let text = text.strip_prefix("sql parser error: ").unwrap_or(&text);
    SqlError::Malformed(text.to_owned())
}

/// The statement that reads, if it is one.
fn reading(statement: &Statement) -> Option<&ast::Statement> {
    match statement {
        Statement::Statement(statement) => is_read(statement).then_some(statement),
        Statement::Explain(ExplainStatement { statement, .. }) => reading(statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => None,
    }
}

fn is_read(statement: &ast::Statement) -> bool {
    if let ast::Statement::Explain { statement, .. } = statement {
        return is_read(statement);
    }
    matches!(
        statement,
        ast::Statement::Query(_)
            | ast::Statement::ExplainTable { .. }
            | ast::Statement::ShowTables { .. }
            | ast::Statement::ShowColumns { .. }
            | ast::Statement::ShowFunctions { .. }
    )
}

/// What a statement that is refused begins with.
fn name_of(sql: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 20;
    let first = sql.split_whitespace().next().unwrap_or_default();
    let first: String = first.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{} is not answered", first.to_uppercase())
}
