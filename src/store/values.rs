//! How the values of a checkpoint are put together. The one place that reads channels and
//! messages for showing.

use sqlx::{Postgres, QueryBuilder};

/// Appends an expression to the select list of a statement over `thread`: the JSON object of its
/// newest values, null as long as there is no state. A thread without state costs nothing.
pub(super) fn push_newest_values(sql: &mut QueryBuilder<Postgres>) {
    sql.push("case when thread.last_seq > 0 then ( select ").push(values_of("head"));
    sql.push(" from thread_store.checkpoint as head").push(HEAD).push(" ) end as values");
}

/// Appends joins to a statement over `thread` that yield the same as `state.values`, to be used more
/// than once, and `head`, the newest checkpoint of the root namespace.
pub(super) fn push_join_newest_values(sql: &mut QueryBuilder<Postgres>) {
    sql.push(" left join lateral ( select head.* from thread_store.checkpoint as head");
    sql.push(HEAD).push(" ) as head on true");
    push_join_values(sql, "head");
}

/// The newest checkpoint, if there is any.
const HEAD: &str = " where thread.last_seq > 0 \
         and head.thread_id = thread.thread_id and head.checkpoint_ns = '' \
     order by head.checkpoint_id desc \
     limit 1";

/// Appends a lateral join that yields `state.values`, the JSON object of the values of the row
/// of `checkpoint` that is named `of` in the statement; null where that row is null.
pub(super) fn push_join_values(sql: &mut QueryBuilder<Postgres>, of: &str) {
    sql.push(" cross join lateral ( select case when ").push(of);
    sql.push(".checkpoint_id is not null then ").push(values_of(of));
    sql.push(" end as values ) as state");
}

/// The JSON object of the values of a checkpoint.
///
/// Cost: one index probe a channel, one range scan a branch for the messages.
fn values_of(of: &str) -> String {
    // The text is put together by hand because the builders of json would parse and print
    // every value once more. Rows are looked up one by one, not joined: a join may read all of a
    // thread's rows if the planner takes them for few.
    let template = "( '{' || concat_ws(',', \
                    ( \
                        select string_agg(to_json(entry.key)::text || ':' || ( \
                            select channel_value.value::text from thread_store.channel_value \
                            where channel_value.thread_id = $of.thread_id \
                                and channel_value.seq = entry.value::bigint \
                                and channel_value.channel = entry.key \
                        ), ',') \
                        from jsonb_each($of.channels) as entry \
                    ), \
                    '\"messages\":[' || ( \
                        select coalesce(string_agg(( \
                            select message.message::text from thread_store.message \
                            where message.thread_id = $of.thread_id \
                                and message.branch = visible.branch \
                                and message.position = visible.position \
                                and message.seq = visible.seq \
                        ), ',' order by visible.position), '') \
                        from ( \
                            with recursive lineage (branch, seq, position) as ( \
                                select $of.branch, $of.seq, $of.messages_end \
                                union all \
                                select branch.parent_branch, branch.fork_seq, \
                                    least(branch.fork_end, lineage.position) \
                                from lineage \
                                cross join lateral ( \
                                    select * from thread_store.branch \
                                    where branch.thread_id = $of.thread_id \
                                        and branch.branch = lineage.branch \
                                    offset 0 \
                                ) as branch \
                            ) \
                            select distinct on (written.position) \
                                written.position, written.branch, written.seq \
                            from lineage \
                            cross join lateral ( \
                                select position, branch, seq from thread_store.message \
                                where message.thread_id = $of.thread_id \
                                    and message.branch = lineage.branch \
                                    and message.position >= $of.messages_start \
                                    and message.position < lineage.position \
                                    and message.seq <= lineage.seq \
                                offset 0 \
                            ) as written \
                            order by written.position, written.seq desc \
                        ) as visible \
                    ) || case when $of.messages_end is not null then ']' end \
                ) || '}' )::json";
    template.replace("$of", of)
}
