//! Which published keys are used.

use super::*;

#[tokio::test(start_paused = true)]
async fn keys_are_checked_row_by_row() {
    let (ec, rsa) = (Signer::es256("1"), Signer::rs256("2"));
    // A key of this size signs nothing here any more, so it is only published.
    let weak = BASE64_URL_SAFE_NO_PAD.encode([vec![0xc5; 127], vec![1]].concat());
    for (signer, changes, expected) in [
        (&ec, json!({}), "accepted"),
        (&ec, json!({ "alg": null, "use": "sig", "key_ops": ["verify"] }), "accepted"),
        (&ec, json!({ "use": "enc" }), "misconfigured"),
        (&ec, json!({ "use": "new" }), "misconfigured"),
        (&ec, json!({ "key_ops": ["sign"] }), "misconfigured"),
        (&ec, json!({ "key_ops": [] }), "misconfigured"),
        (&ec, json!({ "key_ops": ["sign", "verify"] }), "accepted"),
        (&ec, json!({ "alg": "ES384" }), "misconfigured"),
        (&ec, json!({ "alg": "RS256" }), "misconfigured"),
        (&ec, json!({ "alg": "new" }), "misconfigured"),
        (&ec, json!({ "crv": "P-384" }), "misconfigured"),
        (&ec, json!({ "crv": "secp256k1" }), "misconfigured"),
        (&ec, json!({ "x": "AA" }), "misconfigured"),
        (&ec, json!({ "kid": null }), "misconfigured"),
        (&ec, json!({ "kid": "" }), "misconfigured"),
        (&ec, json!({ "kid": 1 }), "misconfigured"),
        (&ec, json!({ "kty": "oct", "k": "c2VjcmV0" }), "misconfigured"),
        (&rsa, json!({}), "accepted"),
        (&rsa, json!({ "alg": null, "use": "sig" }), "accepted"),
        (&rsa, json!({ "alg": "RS512" }), "misconfigured"),
        (&rsa, json!({ "alg": "PS256" }), "misconfigured"),
        (&rsa, json!({ "n": weak }), "misconfigured"),
        (&rsa, json!({ "n": "not base64url!" }), "misconfigured"),
    ] {
        let mut public = signer.public.clone();
        changed(&mut public, &changes);
        let jwks = Published::of(vec![public]).jwks(NO_KEYS);
        let token = signer.sign(&signer.header(), &claims(&json!({})));
        assert_eq!(verdict(&jwks, &token).await, expected, "{changes}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_share_an_id_are_told_apart_by_algorithm_and_signature() {
    let (first, second, rsa) = (Signer::es256("1"), Signer::es256("1"), Signer::rs256("1"));
    let keys = [&first, &second, &rsa].map(|signer| signer.public.clone());
    let jwks = Published::of(keys.into()).jwks(NO_KEYS);
    for signer in [&first, &second, &rsa] {
        let token = signer.sign(&signer.header(), &claims(&json!({})));
        assert_eq!(verdict(&jwks, &token).await, "accepted");
    }
    let stranger = Signer::es256("1");
    let token = stranger.sign(&stranger.header(), &claims(&json!({})));
    assert_eq!(verdict(&jwks, &token).await, "refused");
}

#[tokio::test(start_paused = true)]
async fn keys_of_kinds_to_come_do_not_spoil_a_set() {
    let signer = Signer::es256("1");
    for odd in [
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "EdDSA", "kid": "2" }),
        json!({ "kty": "OKP", "crv": "X448", "x": "AA", "kid": "3", "use": "new" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "alg": "ES256K", "kid": "4" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "5", "key_ops": ["verify", "new"] }),
        json!({ "kty": "EC", "kid": 7, "use": [] }),
        json!({ "kid": null }),
        json!([]),
        json!("text"),
        json!(null),
    ] {
        let jwks = Published::of(vec![odd.clone(), signer.public.clone()]).jwks(NO_KEYS);
        let token = signer.sign(&signer.header(), &claims(&json!({})));
        assert_eq!(verdict(&jwks, &token).await, "accepted", "{odd}");
    }
}
