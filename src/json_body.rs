//! JSON request bodies, which are read in place.

use std::sync::{Arc, OnceLock};

use axum::body::{self, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::config::Limits;
use crate::error::Error;
use crate::extract::without_position;
use crate::json::{self, Members, excerpt};

/// How much room a body gets, as a multiple of what has come of it.
const ROOM: usize = 8;

/// A JSON request body. `Content-Type` is never looked at, as on the reference server.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        JsonBody::from_request(request, app).await?.read().map(Body)
    }
}

/// A JSON request body to be read in place, so that what it holds is not copied until it is typed.
#[derive(Debug)]
pub struct JsonBody(JsonText);

impl JsonBody {
    /// Checks that these bytes are an object that can be stored.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<JsonBody, Error> {
        json::check(&bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| json::Unstorable::Invalid)?;
        let text = JsonText::new(text);
        if !text.is_object() {
            return Err(Error::Invalid("request body: expected an object".into()));
        }
        Ok(JsonBody(text))
    }

    /// Reads the body.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        self.0.read().map_err(|_| self.0.explain::<T>())
    }
}

impl FromRequest<Arc<App>> for JsonBody {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        refuse_encodings(request.headers())?;
        let Limits { body_bytes: limit, body_timeout, .. } = app.limits;
        let reading = tokio::time::timeout(body_timeout, read_whole(request.into_body(), limit));
        JsonBody::new(reading.await.map_err(|_| Error::BodyTooSlow(body_timeout))??)
    }
}

/// The JSON text of an object that is read into a struct. Of equal keys the last counts, where serde
/// left to itself refuses them.
#[derive(Debug)]
pub(crate) struct JsonText<S = String> {
    text: S,
    /// The text with the last of equal keys, once there was a need for it.
    rewritten: OnceLock<String>,
}

impl<S: AsRef<str>> JsonText<S> {
    pub(crate) fn new(text: S) -> JsonText<S> {
        JsonText { text, rewritten: OnceLock::new() }
    }

    /// Whether it is an object, and no list with the values of the fields, which serde takes too.
    pub(crate) fn is_object(&self) -> bool {
        self.text.as_ref().trim_ascii_start().starts_with('{')
    }

    /// Reads the object in place.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        if let Ok(value) = serde_json::from_str(self.text.as_ref()) {
            return Ok(value);
        }
        let rewritten = Members::read(self.text.as_ref())?.to_text();
        serde_json::from_str(self.rewritten.get_or_init(|| rewritten))
    }

    /// Reads it again after it was refused, and this time keeps track of where it goes wrong.
    fn explain<'a, T: Deserialize<'a>>(&'a self) -> Error {
        let text = self.rewritten.get().map_or(self.text.as_ref(), String::as_str);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Ok(_) => Error::Internal("a body was refused without a reason".into()),
            Err(error) => {
                let path = error.path().to_string();
                let field = if path == "." { "request body" } else { &path };
                let why = error.inner().to_string();
                let (field, why) = (excerpt(field), excerpt(without_position(&why)));
                Error::Invalid(format!("{field}: {why}"))
            }
        }
    }
}

/// Refuses a body in a `Content-Encoding`: the limits count what is sent.
pub(crate) fn refuse_encodings(headers: &HeaderMap) -> Result<(), Error> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let codings = String::from_utf8_lossy(value.as_bytes());
        let mut codings = codings.split(',').map(str::trim).filter(|coding| !coding.is_empty());
        if let Some(coding) = codings.find(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Error::UnsupportedEncoding(excerpt(coding)));
        }
    }
    Ok(())
}

/// Reads a body, whose bytes are in memory little more than once if it says how long it is.
async fn read_whole(body: body::Body, limit: usize) -> Result<Vec<u8>, Error> {
    let expected = HttpBody::size_hint(&body).exact().unwrap_or_default();
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    if expected > limit {
        return Err(Error::BodyTooLarge { limit });
    }
    let mut bytes: Vec<u8> = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::BodyUnreadable)?;
        let arrived = bytes.len() + chunk.len();
        if arrived > limit {
            return Err(Error::BodyTooLarge { limit });
        }
        // Room for what was announced, but not for much more than has come.
        if bytes.capacity() < arrived && arrived <= expected {
            let room = expected.min(arrived.saturating_mul(ROOM));
            bytes.reserve_exact(room - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use futures::stream;
    use http_body::{Frame, SizeHint};
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    /// A body that announces a length, and comes in pieces of 1,000 bytes.
    struct Announced(usize, usize);

    impl HttpBody for Announced {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.1.min(1000);
            self.1 -= piece;
            Poll::Ready((piece > 0).then(|| Ok(Frame::data(vec![b'x'; piece].into()))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0 as u64)
        }
    }

    #[tokio::test]
    async fn a_body_that_says_its_length_takes_no_more_room() {
        let bytes = read_whole(Body::new(Announced(100_500, 100_500)), 200_000).await.unwrap();
        assert_eq!((bytes.len(), bytes.capacity()), (100_500, 100_500));
    }

    #[tokio::test]
    async fn an_announcement_alone_takes_no_room() {
        let bytes = read_whole(Body::new(Announced(1 << 30, 2000)), 1 << 30).await.unwrap();
        assert_eq!(bytes.len(), 2000);
        assert!(bytes.capacity() <= 2000 * ROOM, "{}", bytes.capacity());
    }

    #[tokio::test]
    async fn a_body_without_a_length_grows_as_it_comes_and_up_to_the_limit() {
        let body = |pieces: usize| {
            let piece = Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1000]));
            Body::from_stream(stream::repeat(piece).take(pieces))
        };
        let bytes = read_whole(body(100), 100_000).await.unwrap();
        assert_eq!(bytes.len(), 100_000);
        // By doubling, or each piece would copy all that came before it.
        assert!(bytes.capacity() > 100_000);
        for refused in [read_whole(body(101), 100_000), read_whole(Body::new(Announced(9, 0)), 8)] {
            assert!(matches!(refused.await, Err(Error::BodyTooLarge { .. })));
        }
    }
}
