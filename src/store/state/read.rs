//! Reading state: one checkpoint, or a page of a thread's history.
//!
//! The rows that a page of checkpoints is made of are read once, however many of the checkpoints
//! show them, and put together here.

use sqlx::Row as _;
use uuid::Uuid;

use super::checkpoint::{AsOf, Channels, History, Position, Selection};
use super::states::states;
use crate::authz::Scope;
use crate::store::operation::{Asked, Fit, LIGHT, MAX_PAGE, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::{Order, Statement, index};
use crate::store::{Error, Held, Store};

/// Pages of checkpoints, each with the rows that their values are made of.
pub(in crate::store) static READ: Statement = Statement::new(
    "state/read",
    "
    select asked.n, thread.created_at as thread_created_at,
        thread.agent_thread_id is not null as is_agents, picked.*,
        messages.branches as message_branches, messages.positions as message_positions,
        messages.seqs as message_seqs, messages.texts as message_texts,
        stored.seqs as value_seqs, stored.names as value_names, stored.texts as value_texts
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
        $7::bigint[], $8::text[]::jsonb[], $9::bigint[], $10::bool[], $11::text[]::jsonb[],
        $12::bigint[], $13::bigint[]
    ) with ordinality as asked (
        tenant, filter, thread_id, checkpoint_ns, oldest, newest,
        behind_seq, metadata, max_states, with_values, selected,
        max_bytes, min_states, n
    )
    cross join lateral (
        select *
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and {visible}
        offset 0
    ) as thread
    cross join lateral (
        select coalesce(max(page.bytes), 0)::bigint as bytes,
            count(*) as found,
            array_agg(page.checkpoint_id) filter (where page.fits) as checkpoint_ids,
            array_agg(page.parent_checkpoint_id) filter (where page.fits) as parents,
            array_agg(page.seq) filter (where page.fits) as seqs,
            array_agg(page.created_at) filter (where page.fits) as created_ats,
            array_agg(
                page.metadata || jsonb_build_object('thread_id', asked.thread_id)
            ) filter (where page.fits) as metadatas,
            array_agg(page.channels) filter (where page.fits) as channels,
            array_agg(page.branch) filter (where page.fits) as branches,
            array_agg(page.messages_start) filter (where page.fits) as starts,
            array_agg(page.messages_end) filter (where page.fits) as ends,
            array_agg(page.ancestors) filter (where page.fits) as ancestors,
            min(page.messages_start) filter (where page.fits) as messages_start,
            max(page.messages_end) filter (where page.fits) as messages_end,
            max(page.seq) filter (where page.fits) as last_seq
        from (
            select *, bytes <= asked.max_bytes
                or (place <= asked.min_states and bytes <= 67108864) as fits
            from (
                select *,
                    row_number() over page as place,
                    sum(
                        300 + pg_column_size(checkpoint.metadata) + case
                            when not asked.with_values then 0
                            when asked.selected is null then checkpoint.state_bytes
                            else (
                                select coalesce(sum((entry.value ->> 1)::bigint), 0)
                                from jsonb_each(checkpoint.channels) as entry
                                where asked.selected ? entry.key
                            ) + case
                                when asked.selected ? 'messages' then checkpoint.state_bytes
                                else 0
                            end
                        end
                    ) over page as bytes
                from (
                    select *
                    from thread_store.checkpoint
                    where checkpoint.tenant = asked.tenant
                        and checkpoint.thread_id = asked.thread_id
                        and checkpoint.checkpoint_ns = asked.checkpoint_ns
                        and checkpoint.checkpoint_id >= asked.oldest
                        and checkpoint.checkpoint_id <= asked.newest
                        and checkpoint.seq > asked.behind_seq
                        and (
                            asked.metadata is null
                            or checkpoint.metadata
                                || jsonb_build_object('thread_id', asked.thread_id)
                                @> asked.metadata
                        )
                    order by checkpoint.checkpoint_id {direction}
                    limit asked.max_states
                ) as checkpoint
                window page as (order by checkpoint.checkpoint_id {direction})
            ) as page
        ) as page
    ) as picked
    left join lateral (
        select array_agg(message.branch) as branches,
            array_agg(message.position) as positions,
            array_agg(message.seq) as seqs,
            array_agg(message.message::text) as texts
        from (
            select branch from unnest(picked.branches) as branch
            union
            select (ancestor ->> 0)::bigint
            from unnest(picked.ancestors) as list
            cross join lateral jsonb_array_elements(list) as ancestor
        ) as source
        cross join lateral (
            select *
            from thread_store.message
            where message.tenant = asked.tenant
                and message.thread_id = asked.thread_id
                and message.branch = source.branch
                and message.position >= picked.messages_start
                and message.position < picked.messages_end
                and message.seq <= picked.last_seq
            offset 0
        ) as message
        where asked.with_values and (asked.selected is null or asked.selected ? 'messages')
    ) as messages on true
    left join lateral (
        select array_agg(wanted.seq) as seqs,
            array_agg(wanted.channel) as names,
            array_agg(found.value::text) as texts
        from (
            select distinct entry.key as channel, (entry.value ->> 0)::bigint as seq
            from unnest(picked.channels) as list
            cross join lateral jsonb_each(list) as entry
            where asked.with_values and (asked.selected is null or asked.selected ? entry.key)
        ) as wanted
        cross join lateral (
            select value
            from thread_store.channel_value
            where channel_value.tenant = asked.tenant
                and channel_value.thread_id = asked.thread_id
                and channel_value.seq = wanted.seq
                and channel_value.channel = wanted.channel
            offset 0
        ) as found
    ) as stored on true",
);

/// A page of checkpoints to read.
#[derive(Debug, Clone)]
pub(in crate::store) struct ReadStates {
    pub(in crate::store) asked: Asked,
    pub(in crate::store) thread_id: Uuid,
    pub(in crate::store) checkpoint_ns: String,
    pub(in crate::store) oldest: Uuid,
    pub(in crate::store) newest: Uuid,
    pub(in crate::store) behind_seq: i64,
    pub(in crate::store) metadata: Option<String>,
    pub(in crate::store) limit: i64,
    pub(in crate::store) channels: Channels,
    pub(in crate::store) max_bytes: i64,
    /// States that are in the answer in any case.
    pub(in crate::store) min_states: i64,
}

impl Operation for ReadStates {
    type Answer = Option<Fit<History>>;
    const KIND: &'static str = "read_state";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn weight(&self) -> usize {
        let conditions = if self.metadata.is_some() { 16 } else { 0 };
        1 + conditions + usize::try_from(self.limit / 8).unwrap_or(0)
    }

    async fn run(
        lease: &mut Lease,
        reads: &[&ReadStates],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = reads.first() else { return Ok(Vec::new()) };
        let query = query(&READ, &first.asked, reads)
            .bind(column(reads, |read| read.thread_id))
            .bind(column(reads, |read| read.checkpoint_ns.as_str()))
            .bind(column(reads, |read| read.oldest))
            .bind(column(reads, |read| read.newest))
            .bind(column(reads, |read| read.behind_seq))
            .bind(column(reads, |read| read.metadata.as_deref()))
            .bind(column(reads, |read| read.limit))
            .bind(column(reads, |read| read.channels != Channels::None))
            .bind(column(reads, ReadStates::selected))
            .bind(column(reads, |read| read.max_bytes))
            .bind(column(reads, |read| read.min_states));
        let mut answers: Vec<_> = reads.iter().map(|_| Ok(None)).collect();
        for row in lease.fetch_all(query).await? {
            let place = index(&row, "n")?;
            if let (Some(read), Some(answer)) = (reads.get(place), answers.get_mut(place)) {
                let (bytes, found): (i64, i64) = (row.try_get("bytes")?, row.try_get("found")?);
                let checkpoints = states(&row, &read.channels)?;
                let is_cut = i64::try_from(checkpoints.len()).is_ok_and(|kept| kept < found);
                let created_at = row.try_get("thread_created_at")?;
                let is_agents = row.try_get("is_agents")?;
                *answer = if is_agents {
                    let checkpoints = Vec::new();
                    Ok(Some(Fit::Whole(History { created_at, checkpoints, is_cut, is_agents })))
                } else if is_cut && read.min_states == 0 {
                    Ok(Some(Fit::TooLarge(bytes)))
                } else if is_cut && checkpoints.is_empty() {
                    Err(Error::StateUnreadable(bytes))
                } else {
                    Ok(Some(Fit::Whole(History { created_at, checkpoints, is_cut, is_agents })))
                };
            }
        }
        Ok(answers)
    }
}

impl ReadStates {
    /// The names of the channels that are wanted, as a JSON list. `None`: all.
    fn selected(&self) -> Option<String> {
        match &self.channels {
            Channels::Only(names) => Some(serde_json::Value::from(names.as_slice()).to_string()),
            Channels::None | Channels::All => None,
        }
    }
}

impl Store {
    /// The newest `limit` checkpoints of a selection, newest first. `None`: there is no such thread.
    pub async fn checkpoints(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        selection: &Selection,
        limit: i64,
        channels: &Channels,
    ) -> Result<Option<Held<History>>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let before = selection.before.map(|before| before.as_u128().saturating_sub(1));
        let newest = selection.checkpoint_id.unwrap_or(Uuid::max()).as_u128();
        let metadata = &selection.metadata;
        let read = ReadStates {
            asked,
            thread_id,
            checkpoint_ns: selection.checkpoint_ns.clone(),
            oldest: selection.checkpoint_id.unwrap_or_default(),
            newest: Uuid::from_u128(before.map_or(newest, |before| before.min(newest))),
            behind_seq: 0,
            metadata: (!metadata.is_empty()).then(|| metadata.to_text()),
            limit,
            channels: channels.clone(),
            max_bytes: LIGHT,
            min_states: 0,
        };
        let as_of = if selection.is_now { AsOf::NowWithWrites } else { AsOf::Step };
        self.read_states(read, false, as_of).await
    }

    /// Up to `limit` checkpoints of the root namespace behind a position, in the order they were
    /// written. `None`: there is no such thread, or another one by now.
    pub async fn checkpoints_since(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        position: &Position,
        limit: i64,
    ) -> Result<Option<Held<History>>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let read = ReadStates {
            asked,
            thread_id,
            checkpoint_ns: String::new(),
            oldest: position.not_before,
            newest: Uuid::max(),
            behind_seq: position.seq,
            metadata: None,
            limit,
            channels: Channels::All,
            max_bytes: LIGHT,
            min_states: 0,
        };
        let found = self.read_states(read, true, AsOf::Step).await?;
        Ok(found.filter(|found| found.value.created_at == position.created_at))
    }

    async fn read_states(
        &self,
        mut read: ReadStates,
        ascending: bool,
        as_of: AsOf,
    ) -> Result<Option<Held<History>>, Error> {
        // Only the direction is used.
        read.asked.key.holes.order = Some(Order { key: "", r#type: "", ascending });
        let bytes = match self.reads.answer(read.clone()).await? {
            None => return Ok(None),
            Some(Fit::Whole(history)) if history.is_agents => {
                return self.agent_history(read, history, ascending, as_of).await;
            }
            Some(Fit::Whole(history)) => return Ok(Some(Held::light(history))),
            Some(Fit::TooLarge(bytes)) => bytes,
        };
        let memory = self.memory(read.asked.holder, bytes.min(MAX_PAGE)).await;
        (read.max_bytes, read.min_states) = (MAX_PAGE, 1);
        let memory = Some(memory);
        match self.run_alone(&read).await? {
            Some(Fit::Whole(value)) => Ok(Some(Held { value, memory })),
            Some(Fit::TooLarge(_)) | None => Ok(None),
        }
    }
}
