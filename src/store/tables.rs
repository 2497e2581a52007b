//! The kind of tables: whole or partitioned on one Postgres, or distributed over the nodes of a
//! cluster.

/// The location of a tenant's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// In whole tables with the rows of all tenants.
    Whole,
    /// In one partition of each table.
    Partitioned,
    /// On one node of a Citus cluster.
    Distributed,
}
