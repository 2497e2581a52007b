//! What a project can switch off, and this one has not.

use super::*;

#[tokio::test]
async fn providers_factors_and_administration_answer_as_where_they_are_off() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let ask = async |method: Method, path: &str, token: &str, body: Value| {
        let request = auth.request(method, path).json(&body);
        send(if token.is_empty() { request } else { request.bearer_auth(token) }).await
    };
    let token = access(&session);
    for (provider, why) in [
        ("google", "provider is not enabled"),
        ("github", "provider is not enabled"),
        ("nobody", "Provider nobody could not be found"),
        ("", "Provider  could not be found"),
    ] {
        let path = format!("/authorize?provider={provider}");
        let answer = ask(Method::GET, &path, "", json!({})).await;
        answer.refused(400, "validation_failed", &format!("Unsupported provider: {why}"));
    }
    let long = format!("/authorize?provider={}", "x".repeat(5000));
    let answer = ask(Method::GET, &long, "", json!({})).await;
    assert!(text(&answer.body["msg"]).len() < 300);
    for (method, path) in [
        (Method::GET, "/admin"),
        (Method::GET, "/admin/users"),
        (Method::POST, "/admin/users"),
        (Method::DELETE, "/admin/users/7e0a5e0c-4b7f-4d0e-9a55-2f3f4b1f0001"),
        (Method::POST, "/admin/generate_link"),
        (Method::POST, "/invite"),
    ] {
        let nobody = ask(method.clone(), path, "", json!({})).await;
        nobody.refused(401, "no_authorization", NO_AUTHORIZATION);
        let user = ask(method, path, token, json!({})).await;
        user.refused(403, "not_admin", "User not allowed");
    }
    let nobody = ask(Method::POST, "/factors", "", json!({})).await;
    nobody.refused(401, "no_authorization", NO_AUTHORIZATION);
    let totp = ask(Method::POST, "/factors", token, json!({ "factor_type": "totp" })).await;
    totp.refused(422, "mfa_totp_enroll_not_enabled", "MFA enroll is disabled for TOTP");
    let path = format!("/factors/{}/challenge", Uuid::new_v4());
    let factor = ask(Method::POST, &path, token, json!({})).await;
    factor.refused(404, "mfa_factor_not_found", "Factor not found");
    let factor = ask(Method::DELETE, "/factors/x", token, json!({})).await;
    factor.refused(404, "validation_failed", "factor_id must be an UUID");
    let web3 = auth.post("/token?grant_type=web3", &json!({})).await;
    web3.refused(422, "web3_provider_disabled", "Web3 provider is disabled");
    let id_token = auth.post("/token?grant_type=id_token", &json!({ "provider": "google" })).await;
    assert_eq!(
        (id_token.status.as_u16(), &id_token.body["error_code"]),
        (400, &json!("provider_disabled"))
    );
    let settings = ask(Method::GET, "/settings", "", json!({})).await.ok();
    let external = settings["external"].as_object().unwrap();
    assert!(external.len() > 20);
    assert!(external.iter().all(|(name, on)| *on == json!(name == "email")), "{settings}");
}
