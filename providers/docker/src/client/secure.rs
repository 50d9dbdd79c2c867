//! A client that speaks TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use encamp_core::{Error, ErrorKind, Result};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::endpoint::CLIENT_TIMEOUT_SECS;
use super::tls::Tls;

/// Where systems keep the authorities that everybody trusts.
const SYSTEM_AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

impl Tls {
    /// A client of the engine at `authority`, which has sent nothing yet.
    pub(super) fn client(&self, authority: &str) -> Result<Docker> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.config()?)
            .https_only()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        let transport = move |request: BollardRequest| {
            let client = client.clone();
            Box::pin(async move { client.request(request).await.map_err(bollard::errors::Error::from) })
        };
        let address = format!("https://{authority}");
        Docker::connect_with_custom_transport(transport, Some(address), CLIENT_TIMEOUT_SECS, API_DEFAULT_VERSION)
            .map_err(|native| Error::new(ErrorKind::Invalid, "there is no such address").caused_by(native))
    }

    fn config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let wrong =
            |what: &'static str| move |native: rustls::Error| Error::new(ErrorKind::Invalid, what).caused_by(native);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong("TLS cannot be set up"))?;
        let builder = if self.verify {
            builder.with_root_certificates(self.roots()?)
        } else {
            let anybody = Arc::new(Anybody(provider));
            builder.dangerous().with_custom_certificate_verifier(anybody)
        };
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .map_err(wrong("the certificate to show and its key do not go together")),
            (Some(one), None) | (None, Some(one)) => Err(Error::new(
                ErrorKind::Invalid,
                "a certificate to show needs its key, and a key its certificate",
            )
            .with("there is", one.display())),
        }
    }

    fn roots(&self) -> Result<RootCertStore> {
        let system = || SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|file| file.exists());
        let file = self.ca.clone().or_else(system).ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "it is not said which authority the engine's certificate is of",
            )
            .next_step("say `tls.ca` in the settings, or put `ca.pem` where the other certificates are")
        })?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates(&file)?);
        if added == 0 {
            return Err(unreadable(&file, "it holds no certificate"));
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|native| unreadable(file, native))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|native| unreadable(file, native))
}

fn unreadable(file: &Path, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let text = format!("the certificate or key {} cannot be read", file.display());
    Error::new(ErrorKind::Invalid, text).caused_by(why)
}

/// Takes whatever certificate is shown, where the user has asked for that; signatures must be right all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
