//! Where the tables are: on one Postgres as a whole or partitioned, or spread over the nodes of a
//! cluster.

/// Where the rows of a tenant are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// With those of all other tenants.
    Whole,
    /// In one partition of each table.
    Partitioned,
    /// On one node of a Citus cluster.
    Distributed,
}
