//! Keys that come and go.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use thread_store::auth::Mode;

use super::{Here, id, refused, unavailable};
use crate::support::signer::{Signer, key_set, seconds_from_now};
use crate::support::supabase::Reply;

#[tokio::test]
async fn a_new_key_counts_at_once_and_the_withdrawn_one_no_more() {
    for mode in [Mode::Jwks, Mode::JwksAndRemote] {
        let (old, new) = (Signer::es256("old"), Signer::es256("new"));
        let here = Here::start(mode, key_set(&[&old])).await;
        assert_eq!(here.knock(&here.good(&old)).await.status, 200);
        let before = here.supabase.fetched();
        here.supabase.publish(key_set(&[&new]));
        let rotated = Instant::now();
        assert_eq!(here.knock(&here.good(&new)).await.status, 200, "{mode:?}");
        assert!(rotated.elapsed() < Duration::from_secs(2), "{:?}", rotated.elapsed());
        refused(&here.knock(&here.good(&old)).await, "withdrawn");
        // One for the new key, and one for the last token: its key may have come back.
        assert_eq!(here.supabase.fetched(), before + 2);
    }
}

#[tokio::test]
async fn a_key_that_nobody_can_ask_about_is_a_503() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    for fault in [Reply::text(500, "text/plain", ""), Reply::Reset, Reply::SlowBody] {
        let here = Here::start(Mode::Jwks, key_set(&[&old])).await;
        assert_eq!(here.knock(&here.good(&old)).await.status, 200);
        here.supabase.publish(fault);
        unavailable(&here.knock(&here.good(&new)).await, "unknown while nobody answers");
        assert_eq!(here.knock(&here.good(&old)).await.status, 200, "the known key goes on");
        here.supabase.publish(key_set(&[&old, &new]));
        assert_eq!(here.knock(&here.good(&new)).await.status, 200);
    }
}

/// As at Supabase's edge, which keeps the key set for ten minutes.
#[tokio::test]
async fn a_key_set_that_is_older_than_the_token_does_not_refuse_it() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let aged = || key_set(&[&old]).with_header("age", "500");
    let here = Here::start(Mode::Jwks, aged()).await;
    unavailable(&here.knock(&here.good(&new)).await, "issued after the set");
    let before = json!({ "iat": seconds_from_now(-600) });
    let token = new.sign(&here.claims(&id(), &before));
    refused(&here.knock(&token).await, "issued before the set");
    here.supabase.publish(key_set(&[&old]));
    refused(&here.knock(&here.good(&new)).await, "the issuer itself has said no");
}

#[tokio::test]
async fn a_flood_of_made_up_keys_costs_a_fetch_a_second_and_keeps_nobody_out() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let here = Here::start(Mode::Jwks, key_set(&[&old])).await;
    let junk: Vec<_> =
        (0..100).map(|number| here.good(&Signer::es256(&format!("junk {number}")))).collect();
    assert_eq!(here.knock(&here.good(&old)).await.status, 200);
    let (before, begun) = (here.supabase.fetched(), Instant::now());
    let flood = async {
        while begun.elapsed() < Duration::from_secs(4) {
            for answer in join_all(junk.iter().map(|token| here.knock(token))).await {
                refused(&answer, "junk");
            }
        }
    };
    let honest = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(here.knock(&here.good(&old)).await.status, 200);
        here.supabase.publish(key_set(&[&old, &new]));
        let published = Instant::now();
        assert_eq!(here.knock(&here.good(&new)).await.status, 200);
        assert!(published.elapsed() < Duration::from_secs(3), "{:?}", published.elapsed());
    };
    tokio::join!(flood, honest);
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let fetches = here.supabase.fetched() - before;
    assert!(fetches <= seconds + 2, "{fetches} fetches in {seconds} seconds");
}

#[tokio::test]
async fn made_up_keys_in_tokens_for_others_cause_no_fetch() {
    let ec = Signer::es256("ec");
    let here = Here::start(Mode::Jwks, key_set(&[&ec])).await;
    assert_eq!(here.knock(&here.good(&ec)).await.status, 200);
    let before = here.supabase.fetched();
    for changes in [
        json!({ "iss": "https://example.com/auth/v1" }),
        json!({ "aud": "anon" }),
        json!({ "sub": null }),
        json!({ "exp": seconds_from_now(-1) }),
    ] {
        let stranger = Signer::es256("stranger");
        refused(&here.knock(&stranger.sign(&here.claims(&id(), &changes))).await, "for others");
    }
    assert_eq!(here.supabase.fetched(), before);
}
