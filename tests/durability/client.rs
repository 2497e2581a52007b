//! A user of the program.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// Somebody with an access token.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    email: String,
    session: Value,
}

impl Client {
    pub(crate) async fn sign_up(url: &str) -> Client {
        let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
        // Far beyond what a server takes to give up.
        let patience = std::time::Duration::from_mins(1);
        let http = thread_store::http_client::builder().timeout(patience).build().unwrap();
        let nobody = Client { http, url: url.to_owned(), email, session: Value::Null };
        nobody.session_of("signup", nobody.credentials()).await
    }

    /// The same user at another server.
    pub(crate) fn at(&self, url: &str) -> Client {
        Client { url: url.to_owned(), ..self.clone() }
    }

    /// The same user in another session.
    pub(crate) async fn sign_in(&self) -> Client {
        self.session_of("token?grant_type=password", self.credentials()).await
    }

    pub(crate) async fn refresh(&self) -> Client {
        let token = json!({ "refresh_token": self.session["refresh_token"] });
        self.session_of("token?grant_type=refresh_token", token).await
    }

    fn credentials(&self) -> Value {
        json!({ "email": self.email, "password": "correct horse" })
    }

    async fn session_of(&self, path: &str, body: Value) -> Client {
        let (status, session) = self.post(&format!("/auth/v1/{path}"), &body).await.unwrap();
        assert_eq!(status, 200, "{session}");
        Client { session, ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<(u16, Value)> {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> reqwest::Result<(u16, Value)> {
        let response = self.request(Method::DELETE, path).send().await?;
        let status = response.status().as_u16();
        // There is no body to a deletion that was done.
        Ok((status, Value::String(response.text().await?)))
    }

    /// An answer without an end.
    pub(crate) async fn open(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.request(Method::GET, path).send().await?.error_for_status()
    }

    /// The id of the user.
    pub(crate) fn id(&self) -> String {
        self.session["user"]["id"].as_str().unwrap().to_owned()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match self.session["access_token"].as_str() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// Only a whole answer counts.
async fn answer(request: RequestBuilder) -> reqwest::Result<(u16, Value)> {
    let response = request.send().await?;
    if response.status() == 503 {
        assert!(response.headers().contains_key("retry-after"), "{response:?}");
    }
    Ok((response.status().as_u16(), response.json().await?))
}
