//! The ledger: batches with one's own rows, and the balance of the books.

use crate::Api;
use crate::answer::balance::Balance;
use crate::ask::{self, Asked, Loose, limit};
use crate::error::Problem;
use crate::metrics;
use crate::principal::{Caller, Permission};
use crate::store::Table;
use crate::store::ledger::{
    self, Batch, Batches, LostBatch, LostBatches, OwnRows, OwnSamples, RowsOfBatch, Settled,
    SettledOf,
};
use actix_web::web::{Data, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millrace_shared::Signal;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

/// Batches of a page unless said otherwise, and at most.
const BATCHES: (u32, u32) = (100, 200);
/// Times the books are read again when they moved meanwhile.
const READINGS: usize = 5;

/// What batches are listed by.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BatchSearch {
    /// The signal; logs by default.
    signal: Option<String>,
    /// Only in this state: PREPARED, COMMITTED, AUDITED or PARKED.
    state: Option<String>,
    /// Ledger entries looked at for a page, 1 to 200.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of batches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// Batches with rows of the organisation, the last prepared first. Whoever may see the
    /// installation sees all.
    batches: Vec<Batch>,
    /// Give this as `cursor` for the next page, which may have batches even where this has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A place in the list of batches: when prepared (nanoseconds), shard, number.
#[derive(Deserialize, Serialize)]
struct Place(i64, i16, i64);

/// List ledger batches.
#[utoipa::path(get, path = "/api/v1/ledger/batches", params(BatchSearch), tag = "ledger",
    responses((status = 200, body = BatchAnswer)))]
pub(crate) async fn batches(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<BatchSearch>,
) -> Result<Json<BatchAnswer>, Problem> {
    caller.require(Permission::LedgerRead)?;
    let Asked(search) = asked;
    let signal = match &search.signal {
        None => Signal::Logs,
        Some(name) => ask::signal(name)?,
    };
    let limit = limit(search.limit.as_ref(), BATCHES.0, BATCHES.1)?;
    let asked = Batches {
        signal,
        state: search.state.map(|state| state.to_uppercase()),
        before: search.cursor.as_deref().map(place).transpose()?,
        limit: i64::from(limit) + 1,
    };
    let mut batches = ledger::batches(&api.pg, &asked).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = batches.len() > most;
    batches.truncate(most);
    let next_cursor = batches.last().filter(|_| more).map(|last| {
        let place = Place(last.prepared_at.0, last.shard, last.seq);
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&place).unwrap_or_default())
    });
    own(&api, &caller, signal, &mut batches).await?;
    Ok(Json(BatchAnswer {
        batches,
        next_cursor,
    }))
}

fn place(text: &str) -> Result<(OffsetDateTime, i16, i64), Problem> {
    let wrong = || Problem::parameter("cursor", "was not given by us");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let Place(at, shard, seq) = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at)).map_err(|_| wrong())?;
    Ok((at, shard, seq))
}

/// Counts the organisation's rows in each batch, and leaves out what is not its own.
async fn own(
    api: &Api,
    caller: &Caller,
    signal: Signal,
    batches: &mut Vec<Batch>,
) -> Result<(), Problem> {
    if batches.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = batches.iter().map(Batch::ledger_id).collect();
    let table = match signal {
        Signal::Logs => Some(Table::Logs),
        Signal::Traces => Some(Table::Spans),
        Signal::Rum => Some(Table::Rum),
        Signal::Audit => Some(Table::Audit),
        Signal::Metrics => None,
    };
    let rows: Vec<RowsOfBatch> = match table {
        Some(table) => {
            let rows = OwnRows {
                table,
                batches: ids,
            };
            api.clickhouse.rows(&caller.bind(rows)?).await?
        }
        None => {
            let batches = ids
                .iter()
                .filter_map(|id| i64::try_from(id.0).ok())
                .collect();
            api.pg.rows(&caller.bind(OwnSamples { batches })?).await?
        }
    };
    let rows: HashMap<u64, u64> = rows.into_iter().map(|row| (row.batch, row.rows)).collect();
    for batch in batches.iter_mut() {
        batch.rows = rows.get(&batch.ledger_id().0).copied().unwrap_or(0);
    }
    if !caller.may(Permission::InstallationRead) {
        batches.retain(|batch| batch.rows > 0);
        for batch in batches.iter_mut() {
            (batch.events, batch.entries) = (None, None);
        }
    }
    Ok(())
}

/// Which lost batches are listed.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LostSearch {
    /// At most so many, 1 to 200.
    limit: Option<Loose>,
}

/// Batches that were lost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LostAnswer {
    /// The last found first. Only a Redis that lost what it had on disk puts anything here.
    batches: Vec<LostBatch>,
}

/// List acknowledged batches that Redis lost before they were stored.
#[utoipa::path(get, path = "/api/v1/ledger/lost", params(LostSearch), tag = "ledger",
    responses((status = 200, body = LostAnswer)))]
pub(crate) async fn lost(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<LostSearch>,
) -> Result<Json<LostAnswer>, Problem> {
    let Asked(search) = asked;
    let limit = limit(search.limit.as_ref(), BATCHES.0, BATCHES.1)?;
    let asked = LostBatches {
        limit: i64::from(limit),
    };
    let batches = api.pg.rows(&caller.bind(asked)?).await?;
    Ok(Json(LostAnswer { batches }))
}

/// The books of an organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceAnswer {
    /// Whether all books balance.
    balanced: bool,
    /// Events settled while the books were read, several times over: the verdict is of a moment
    /// in between and may be off by what was on its way then.
    moving: bool,
    /// By signal.
    signals: Vec<Balance>,
}

/// Draw the balance: received = stored + rejected + dead-lettered + pending.
#[utoipa::path(get, path = "/api/v1/ledger/balance", tag = "ledger",
    responses((status = 200, body = BalanceAnswer)))]
pub(crate) async fn balance(
    api: Data<Api>,
    caller: Caller,
) -> Result<Json<BalanceAnswer>, Problem> {
    let settled = caller.bind(Settled)?;
    let mut before = api.pg.rows(&settled).await?;
    let mut moving = true;
    let mut signals = Vec::new();
    for _ in 0..READINGS {
        signals = read(&api, &caller, &before).await?;
        let after = api.pg.rows(&settled).await?;
        moving = before != after;
        // What balances, balances; what does not may have moved, and is read again.
        if !moving || signals.iter().all(|signal| signal.balanced) {
            break;
        }
        before = after;
    }
    let balanced = signals.iter().all(|signal| signal.balanced);
    metrics::BALANCED.set(&[], f64::from(u8::from(balanced)));
    Ok(Json(BalanceAnswer {
        balanced,
        moving: moving && !balanced,
        signals,
    }))
}

/// Reads what was received, and then what is under way: an event that was received and is not
/// settled before and after is under way in between.
async fn read(api: &Api, caller: &Caller, settled: &[SettledOf]) -> Result<Vec<Balance>, Problem> {
    let shards = api.trail.shards().await?;
    let mut received = Vec::new();
    for signal in Signal::ALL {
        received.push(api.streams.received(caller.org(), signal, shards).await?);
    }
    let states = ledger::shards(&api.pg).await?;
    let mut balances = Vec::new();
    for (signal, received) in Signal::ALL.into_iter().zip(received) {
        let mut under_way = states
            .iter()
            .any(|state| state.signal == signal && state.open);
        let entries = api.streams.last_entries(signal, shards).await?;
        for (shard, last) in (0u16..).zip(entries) {
            let state = states
                .iter()
                .find(|state| state.signal == signal && state.shard == shard);
            under_way |= last > state.map(|state| state.cursor).unwrap_or_default();
        }
        let name = signal.as_str();
        let books = settled.iter().find(|books| books.signal == name);
        let books = books.map(|books| [books.stored, books.rejected, books.dead_lettered]);
        let total = received.events + received.rejected;
        balances.push(Balance::draw(
            name,
            total,
            books.unwrap_or_default(),
            under_way,
        ));
    }
    Ok(balances)
}
