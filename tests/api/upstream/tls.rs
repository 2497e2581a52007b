//! Certificates of Supabase.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::support::postgres::test_cluster;
use crate::support::program::Program;

/// Makes certificates that the program can be told to trust.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// A file with its own certificate.
    pub(crate) file: tempfile::NamedTempFile,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), file }
    }

    /// What a server for a name needs, until the first day of a year.
    pub(crate) fn acceptor(&self, name: &str, until: i32) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn a_certificate_that_is_expired_or_somebody_elses_is_a_503_and_sees_no_token() {
    let authority = Authority::new();
    let database = test_cluster().await.database_url().await;
    for (name, certificate_of, until, status) in [
        ("good", "localhost", 2100, 200),
        ("expired", "localhost", 2021, 503),
        ("of another host", "example.com", 2100, 503),
    ] {
        let supabase = Supabase::start_tls(authority.acceptor(certificate_of, until)).await;
        let trusted = authority.file.path().to_str().unwrap().to_owned();
        let settings = [
            ("DATABASE_URL", database.clone()),
            ("SUPABASE_URL", supabase.url.clone()),
            ("SUPABASE_ANON_KEY", API_KEY.to_owned()),
            ("SSL_CERT_FILE", trusted),
        ];
        let program = tokio::task::spawn_blocking(move || {
            Program::start(&settings.each_ref().map(|(name, value)| (*name, value.as_str())))
        });
        let program = program.await.unwrap();
        let user = User {
            id: String::new(),
            token: token(),
            email: String::new(),
            url: program.url.clone(),
            client: thread_store::http_client::builder().build().unwrap(),
        };
        let answer = count(&user).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        if status == 503 {
            unavailable(&answer, "2", name);
            unavailable(&fifty(&user, name).await, "2", name);
            assert_eq!(supabase.calls().len(), 0, "{name}");
        }
        let output = tokio::task::spawn_blocking(move || program.stop()).await.unwrap();
        assert_eq!(output.contains("invalid peer certificate"), status == 503, "{output}");
    }
}
