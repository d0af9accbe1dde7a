//! A table as questions see it: no row twice, and no file that has nothing of the time in question.
use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::{Schema, SchemaRef},
    catalog::{Session, TableProvider},
    common::{DFSchema, Result, ScalarValue},
    datasource::listing::ListingTable,
    logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType, col, lit},
    physical_expr::expressions::Column,
    physical_plan::{ExecutionPlan, PhysicalExpr, filter::FilterExec, projection::ProjectionExec},
};
use tokio::sync::Mutex;

use super::{
    schema::{PART, of_folders},
    view::{Outdated, View, Window},
};

/// The column of the times.
const TIME: &str = "time_ns";

/// A table of a lake.
pub(super) struct LakeTable {
    files: ListingTable,
    view: View,
    /// The columns of the files without [`PART`], then those of the folders.
    schema: SchemaRef,
    /// Where [`PART`] is in the files.
    part: usize,
    /// One at a time, so that what the view tells is of the files that are read.
    scanning: Mutex<()>,
}

impl LakeTable {
    /// `files`: the columns for questions, with [`PART`], from the store `view`.
    pub(super) fn new(files: ListingTable, view: View) -> Result<Self> {
        let all = files.schema();
        let part = all.index_of(PART)?;
        let own = all.fields().iter().filter(|field| field.name() != PART);
        let schema = Arc::new(Schema::new(own.cloned().collect::<Vec<_>>()));
        Ok(Self {
            files,
            view,
            schema,
            part,
            scanning: Mutex::new(()),
        })
    }

    fn in_files(&self, column: usize) -> usize {
        column + usize::from(column >= self.part)
    }
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.files.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut columns: Vec<usize> = match projection {
            Some(some) => some.iter().map(|column| self.in_files(*column)).collect(),
            None => (0..self.schema.fields().len())
                .map(|column| self.in_files(column))
                .collect(),
        };
        let _alone = self.scanning.lock().await;
        self.view.look_at(window(filters));
        let all = self
            .files
            .scan(state, Some(&columns), filters, limit)
            .await?;
        if self.view.outdated().is_empty() {
            return Ok(all);
        }
        // Once more, with what tells the rows apart that a later file has, too.
        let wanted = columns.len();
        let pool = self.part + of_folders().len();
        columns.extend([self.part]);
        if !columns.contains(&pool) {
            columns.push(pool);
        }
        self.view.look_at(window(filters));
        let all = self
            .files
            .scan(state, Some(&columns), filters, None)
            .await?;
        without(state, all, &self.view.outdated(), wanted)
    }
}

/// The rows of a plan that no later file has, with the first so many columns.
fn without(
    state: &dyn Session,
    all: Arc<dyn ExecutionPlan>,
    outdated: &Outdated,
    wanted: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = DFSchema::try_from(all.schema())?;
    let predicate = state.create_physical_expr(current(outdated), &schema)?;
    let kept = Arc::new(FilterExec::try_new(predicate, all)?);
    let fields = kept.schema();
    let columns = fields.fields().iter().take(wanted).enumerate();
    let columns = columns.map(|(at, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        (column, field.name().clone())
    });
    let columns: Vec<_> = columns.collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, kept)?))
}

/// Which rows no later file has.
pub(super) fn current(outdated: &Outdated) -> Expr {
    let of_pools = outdated.iter().map(|(pool, parts)| {
        let parts = parts.iter().map(|part| lit(part.as_str())).collect();
        let other = col("pool").not_eq(lit(pool.as_str()));
        other.or(col(PART).in_list(parts, true))
    });
    let newer = of_pools.reduce(Expr::and).unwrap_or_else(|| lit(true));
    col(PART).is_null().or(newer)
}

/// The times that filters leave.
fn window(filters: &[Expr]) -> Window {
    let mut window = Window::default();
    for filter in filters {
        let Expr::BinaryExpr(of) = filter else {
            continue;
        };
        let (Expr::Column(column), Expr::Literal(value, _)) = (&*of.left, &*of.right) else {
            continue;
        };
        let Some(ns) = nanoseconds(value).filter(|_| column.name == TIME) else {
            continue;
        };
        let [first_ns, last_ns] = match of.op {
            Operator::Gt => [ns.saturating_add(1), u64::MAX],
            Operator::GtEq => [ns, u64::MAX],
            Operator::Lt => [0, ns.saturating_sub(1)],
            Operator::LtEq => [0, ns],
            Operator::Eq => [ns, ns],
            _ => continue,
        };
        window.first_ns = window.first_ns.max(first_ns);
        window.last_ns = window.last_ns.min(last_ns);
    }
    window
}

/// A time since 1970; what was before is as 1970.
fn nanoseconds(value: &ScalarValue) -> Option<u64> {
    match value {
        ScalarValue::TimestampNanosecond(Some(ns), _) => Some(u64::try_from(*ns).unwrap_or(0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(ns: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(
            Some(ns),
            Some("UTC".into()),
        ))
    }

    #[test]
    fn times_are_those_that_all_filters_leave() {
        let filters = [
            col(TIME).gt_eq(time(10)),
            col(TIME).gt(time(5)),
            col(TIME).lt(time(30)),
            col("rtt_ns").lt(time(1)),
            col(TIME).not_eq(time(20)),
            col(TIME).lt(time(2)).or(col("pod").is_null()),
        ];
        let found = window(&filters);
        assert_eq!([found.first_ns, found.last_ns], [10, 29]);
        let found = window(&[col(TIME).lt(time(-1))]);
        assert_eq!([found.first_ns, found.last_ns], [0, 0]);
        let all = window(&[]);
        assert_eq!([all.first_ns, all.last_ns], [0, u64::MAX]);
    }
}
