//! The checks before an attachment: the schema must have the tables of a checkpointer that can be read,
//! and the role must have the privileges to use them. Nothing is changed here.

use sqlx::{PgConnection, Row as _};

/// The tables of a checkpointer, each with the columns that are read.
const TABLES: [(&str, &[&str]); 3] = [
    (
        "checkpoints",
        &[
            "thread_id",
            "checkpoint_ns",
            "checkpoint_id",
            "parent_checkpoint_id",
            "checkpoint",
            "metadata",
        ],
    ),
    ("checkpoint_blobs", &["thread_id", "checkpoint_ns", "channel", "version", "type", "blob"]),
    (
        "checkpoint_writes",
        &[
            "thread_id",
            "checkpoint_ns",
            "checkpoint_id",
            "task_id",
            "idx",
            "channel",
            "type",
            "blob",
        ],
    ),
];

/// Facts about a table: whether it exists, its columns, the privileges that the role lacks, whether row
/// security hides rows from the role, and which roles of Supabase can read it.
const DESCRIBE: &str = "
    select class.oid is not null as is_there,
        array(
            select attname::text
            from pg_attribute
            where attrelid = class.oid and attnum > 0 and not attisdropped
        ) as columns,
        array(
            select privilege
            from unnest(array['select', 'insert', 'update', 'delete', 'trigger']) as privilege
            where class.oid is not null
                and not has_table_privilege(class.oid, privilege)
        ) as missing,
        class.oid is not null and row_security_active(class.oid) as is_hidden,
        array(
            select rolname::text
            from pg_roles
            where rolname in ('anon', 'authenticated')
                and class.oid is not null
                and not class.relrowsecurity
                and has_schema_privilege(pg_roles.oid, class.relnamespace, 'usage')
                and has_table_privilege(pg_roles.oid, class.oid, 'select')
            order by rolname
        ) as readers,
        current_user::text as role
    from (select) as one
    left join pg_class as class
        on class.relname = $2
        and class.relkind in ('r', 'p')
        and class.relnamespace = (select oid from pg_namespace where nspname = $1)";

/// Why tables cannot be attached. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A table does not exist.
    #[error(
        "schema {schema} has no table {table}: name the schema of the agent's tables with --schema, \
         and run `setup()` of the agent's checkpointer first"
    )]
    NoTable {
        /// The schema.
        schema: String,
        /// The table.
        table: &'static str,
    },
    /// The tables belong to `ShallowPostgresSaver`, which keeps no history.
    #[error(
        "the tables in schema {schema} are those of ShallowPostgresSaver, which keeps no history \
         (missing: {missing}): use PostgresSaver"
    )]
    Shallow {
        /// The schema.
        schema: String,
        /// The missing columns.
        missing: String,
    },
    /// The tables do not belong to a known checkpointer.
    #[error(
        "the tables in schema {schema} are not those of a checkpointer that can be read (missing: \
         {missing}): let the agent run `setup()` of its checkpointer"
    )]
    Other {
        /// The schema.
        schema: String,
        /// The missing columns.
        missing: String,
    },
    /// The role lacks privileges.
    #[error(
        "role {role} may not {privileges} on {schema}.{table}: grant it to the role, or attach with the \
         role that owns the table"
    )]
    Privileges {
        /// The role.
        role: String,
        /// The missing privileges.
        privileges: String,
        /// The schema.
        schema: String,
        /// The table.
        table: &'static str,
    },
    /// Row security hides rows from the role.
    #[error(
        "row security hides rows of {schema}.{table} from role {role}: give the role BYPASSRLS, or a \
         policy that shows it all rows"
    )]
    RowSecurity {
        /// The schema.
        schema: String,
        /// The table.
        table: &'static str,
        /// The role.
        role: String,
    },
}

/// Checks the tables. Returns the roles of Supabase that can read them.
pub(super) async fn check(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<String>, CheckError> {
    let mut descriptions = Vec::new();
    let mut missing = Vec::new();
    for (table, needed) in TABLES {
        let query = sqlx::query(DESCRIBE).bind(schema).bind(table);
        let row = query.fetch_one(&mut *connection).await?;
        if !row.try_get::<bool, _>("is_there")? {
            return Err(CheckError::NoTable { schema: schema.to_owned(), table });
        }
        let columns: Vec<String> = row.try_get("columns")?;
        let absent = needed.iter().filter(|column| !columns.iter().any(|has| has == *column));
        missing.extend(absent.map(|column| format!("{table}.{column}")));
        descriptions.push((table, row));
    }
    if !missing.is_empty() {
        let is_shallow = missing.iter().any(|column| column == "checkpoint_blobs.version");
        let (schema, missing) = (schema.to_owned(), missing.join(", "));
        return Err(if is_shallow {
            CheckError::Shallow { schema, missing }
        } else {
            CheckError::Other { schema, missing }
        });
    }
    let mut readers = Vec::new();
    for (table, row) in descriptions {
        let (schema, role) = (schema.to_owned(), row.try_get("role")?);
        let missing: Vec<String> = row.try_get("missing")?;
        if !missing.is_empty() {
            let privileges = missing.join(", ");
            return Err(CheckError::Privileges { role, privileges, schema, table });
        }
        if row.try_get("is_hidden")? {
            return Err(CheckError::RowSecurity { schema, table, role });
        }
        readers.extend(row.try_get::<Vec<String>, _>("readers")?);
    }
    readers.sort_unstable();
    readers.dedup();
    Ok(readers)
}
