//! Usage, sources, ledger, balance, dead letters.

use crate::alerts::trail;
use crate::world::*;
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{LedgerId, ShardId};
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::wire::BodyFormat;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use tokio_postgres::types::ToSql;

async fn usage(org: &Org, events: i64, rejected: i64, dead: i64) {
    let stored = events - rejected - dead;
    let params: [&(dyn ToSql + Sync); 5] = [&org.id, &events, &stored, &rejected, &dead];
    execute(
        "INSERT INTO usage_day (org_id, signal, day, batches, events, stored, rejected, dead_lettered, bytes, rows)
         VALUES ($1, 'rum', current_date, 1, $2, $3, $4, $5, 500, $3)
         ON CONFLICT (org_id, signal, day) DO UPDATE SET stored = excluded.stored",
        &params,
    )
    .await;
}

async fn received(org: &Org, shard: u16, events: i64, rejected: i64) {
    let key = ShardId {
        signal: Signal::Rum,
        shard,
    }
    .received();
    let org = org.id.simple().to_string();
    let mut connection = redis().await;
    let _: () = redis::pipe()
        .cmd("HINCRBY")
        .arg(&key)
        .arg(format!("{org}:events"))
        .arg(events)
        .cmd("HINCRBY")
        .arg(&key)
        .arg(format!("{org}:rejected"))
        .arg(rejected)
        .query_async(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn usage_and_sources_are_ones_own() {
    let (ours, theirs) = (org().await, org().await);
    usage(&ours, 10, 2, 1).await;
    usage(&theirs, 99, 0, 0).await;
    for (org, service) in [(&ours, "api"), (&theirs, "spy")] {
        let params: [&(dyn ToSql + Sync); 2] = [&org.id, &service];
        execute(
            "INSERT INTO source_health (org_id, signal, key_id, service, last_seen, events)
             VALUES ($1, 'rum', 'k1', $2, now() - interval '20 minutes', 3)",
            &params,
        )
        .await;
    }
    let _shared = SOURCES.read().await;
    let report = get("/usage", &ours.viewer, &[]).await.ok();
    assert_eq!(report["days"].as_array().unwrap().len(), 1);
    let totals = &report["totals"]["rum"];
    assert_eq!(
        (
            &totals["events"],
            &totals["stored"],
            &totals["dead_lettered"]
        ),
        (&json!(10), &json!(7), &json!(1))
    );
    let sources = get("/sources", &ours.viewer, &[]).await.ok();
    assert_eq!(texts(&sources["sources"], "service"), ["api"]);
    assert_eq!(sources["sources"][0]["status"], "silent");
}

#[tokio::test]
async fn the_balance_sees_what_is_missing() {
    let org = org().await;
    let book = async || {
        let answer = get("/ledger/balance", &org.viewer, &[]).await.ok();
        let rum = answer["signals"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["signal"] == "rum")
            .unwrap()
            .clone();
        (answer["balanced"].as_bool().unwrap(), rum)
    };
    assert!(book().await.0, "nothing balances");
    received(&org, 0, 5, 2).await;
    received(&org, 1, 3, 0).await;
    usage(&org, 10, 2, 1).await;
    let (balanced, rum) = book().await;
    assert!(balanced, "{rum}");
    let expected = json!({ "signal": "rum", "received": 10, "stored": 7, "rejected": 2,
        "dead_lettered": 1, "pending": 0, "balanced": true });
    assert_eq!(rum, expected);
    // One event that was received, is in no stream and in no book.
    received(&org, 0, 1, 0).await;
    let (balanced, rum) = book().await;
    assert_eq!((balanced, &rum["pending"]), (false, &json!(1)));
}

#[tokio::test]
async fn a_batch_is_shown_with_ones_own_rows_only() {
    static SEQ: AtomicI64 = AtomicI64::new(0);
    let (ours, theirs, nobody) = (org().await, org().await, org().await);
    let first =
        millrace_runtime::clock::now_ns() / 1000 % (1 << 40) + SEQ.fetch_add(10, Ordering::Relaxed);
    let shard = 255i16;
    execute(
        "INSERT INTO shard (signal, shard) VALUES ('logs', $1) ON CONFLICT DO NOTHING",
        &[&shard],
    )
    .await;
    let params: [&(dyn ToSql + Sync); 2] = [&shard, &first];
    execute(
        "INSERT INTO batch (signal, shard, seq, epoch, first_ms, first_seq, last_ms, last_seq, entries,
                            events, digest, targets, revision, received_day, state)
         VALUES ('logs', $1, $2, 1, 5, 0, 6, 1, 2, 3, '', '{}', 1, current_date, 'COMMITTED')",
        &params,
    )
    .await;
    let id = LedgerId::new(255, u64::try_from(first).unwrap()).0;
    let log = |org, n| row(org, n, json!({ "Body": "x", "BatchId": id }));
    insert(
        "logs",
        &[log(&ours, 1.0), log(&ours, 2.0), log(&theirs, 3.0)],
    )
    .await;
    let batches = async |token: &str| {
        let list = get(
            "/ledger/batches",
            token,
            &[("signal", "logs"), ("state", "committed")],
        )
        .await
        .ok();
        let list = list["batches"].as_array().unwrap().clone();
        list.into_iter()
            .filter(|batch| batch["seq"] == first)
            .collect::<Vec<_>>()
    };
    let own = batches(&ours.viewer).await;
    assert_eq!(
        (own.len(), &own[0]["rows"], &own[0]["last_entry"]),
        (1, &json!(2), &json!("6-1"))
    );
    assert_eq!(
        own[0]["events"],
        Value::Null,
        "what others sent is not told"
    );
    assert_eq!(batches(&theirs.viewer).await[0]["rows"], 1);
    assert!(batches(&nobody.viewer).await.is_empty());
    let all = batches(&token(nobody.id, "global_admin").await).await;
    assert_eq!((&all[0]["events"], &all[0]["rows"]), (&json!(3), &json!(0)));
}

/// A dead letter of a stream of its own; its number and its shard.
async fn letter(org: &Org, shard: i16) -> (i64, ShardId) {
    let now = millrace_runtime::clock::now_ns();
    let mut meta = Meta::new(org.id, "k1", now, (BodyFormat::Json, Encoding::Lz4));
    (meta.accepted, meta.rejected, meta.rejected_at) = (3, 1, vec![0]);
    let (meta, body) = (
        meta.to_text(),
        pack(br#"{"logs":[{"message":"secret@x.example"}]}"#),
    );
    let entry = i64::from(uuid::Uuid::new_v4().as_fields().0);
    let (meta, body) = (meta.as_bytes(), body.as_slice());
    let params: [&(dyn ToSql + Sync); 5] = [&org.id, &shard, &entry, &meta, &body];
    let sql = "INSERT INTO dead_letter (org_id, signal, shard, entry_ms, entry_seq, events_at, events, reason, detail, meta, body)
               VALUES ($1, 'logs', $2, $3, 0, '{2,3}', 2, 'undecodable', 'near secret', $4, $5) RETURNING id";
    let id = postgres()
        .await
        .query_one(sql, &params)
        .await
        .unwrap()
        .get(0);
    (
        id,
        ShardId {
            signal: Signal::Logs,
            shard: u16::try_from(shard).unwrap(),
        },
    )
}

#[tokio::test]
async fn raw_bytes_need_their_own_permission_and_are_recorded() {
    let (ours, theirs) = (org().await, org().await);
    let (id, _) = letter(&ours, 200).await;
    let path = format!("/dead-letters/{id}");
    assert_eq!(
        get("/dead-letters", &ours.viewer, &[]).await.problem(403),
        "forbidden"
    );
    let list = get(
        "/dead-letters",
        &ours.analyst,
        &[("state", "parked"), ("reason", "undecodable")],
    )
    .await
    .ok();
    assert_eq!(texts(&list["dead_letters"], "id"), [id.to_string()]);
    assert!(!list.to_string().contains("secret"), "{list}");
    assert_eq!(
        get(&path, &ours.analyst, &[("raw", "true")])
            .await
            .problem(403),
        "forbidden"
    );
    assert_eq!(
        get(&path, &theirs.admin, &[("raw", "true")])
            .await
            .problem(404),
        "not_found"
    );
    assert!(trail(&ours).await.is_empty());
    let shown = get(&path, &ours.admin, &[("raw", "true")]).await.ok();
    assert!(
        shown["raw"]["body_text"]
            .as_str()
            .unwrap()
            .contains("secret@x.example")
    );
    assert_eq!(
        texts(&Value::Array(trail(&ours).await), "action"),
        ["dead_letter.read_raw"]
    );
}

#[tokio::test]
async fn a_replay_appends_once_however_often_it_is_asked() {
    let (ours, theirs) = (org().await, org().await);
    let (id, shard) = letter(&ours, 201).await;
    let replay = format!("/dead-letters/{id}/replay");
    assert_eq!(
        post(&replay, &ours.analyst, &json!({})).await.problem(403),
        "forbidden"
    );
    assert_eq!(
        post(&replay, &theirs.admin, &json!({})).await.problem(404),
        "not_found"
    );
    let all = futures_util::future::join_all((0..6).map(|_| {
        let (replay, token) = (replay.clone(), ours.admin.clone());
        async move { post(&replay, &token, &json!({})).await.status }
    }))
    .await;
    assert_eq!(
        all.iter().filter(|status| **status == 200).count(),
        1,
        "{all:?}"
    );
    assert!(
        all.iter().all(|status| matches!(status, 200 | 409)),
        "{all:?}"
    );
    // As after a crash between the append and the commit: the letter is parked again.
    execute(
        "UPDATE dead_letter SET state = 'PARKED', closed_at = NULL WHERE id = $1",
        &[&id],
    )
    .await;
    post(&replay, &ours.admin, &json!({})).await.ok();
    let entries: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
        .arg(shard.stream())
        .arg("-")
        .arg("+")
        .query_async(&mut redis().await)
        .await
        .unwrap();
    let metas = entries
        .ids
        .iter()
        .map(|entry| Meta::parse(&entry.get::<Vec<u8>>("m").unwrap()).unwrap());
    let metas: Vec<_> = metas.filter(|meta| meta.org == ours.id).collect();
    assert_eq!(metas.len(), 1);
    assert_eq!(
        (metas[0].replay_of, metas[0].accepted, metas[0].rejected),
        (Some(id), 2, 0)
    );
    assert_eq!(metas[0].rejected_at, [0, 1]);
    let (other, _) = letter(&ours, 202).await;
    let drop = format!("/dead-letters/{other}/drop");
    assert_eq!(
        post(&drop, &ours.admin, &json!({})).await.ok()["state"],
        "DROPPED"
    );
    assert_eq!(
        post(&drop, &ours.admin, &json!({})).await.problem(409),
        "conflict"
    );
}
