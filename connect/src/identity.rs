//! Who calls: requests to deployments are signed, so that those can turn everybody else away.
//!
//! Each carries a JSON web token for its own path, good for a minute and signed with an Ed25519 key.
//! The file of the key is looked at again while the process runs, so that a key is replaced without
//! a restart.
//!
//! **Invariant:** where a key is configured no request goes out unsigned. A file that has become
//! unreadable leaves the key in force that was read from it last.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

/// Says how a request is signed.
const SCHEME: HeaderName = HeaderName::from_static("x-restate-signature-scheme");
/// Holds the token.
const TOKEN: HeaderName = HeaderName::from_static("x-restate-jwt-v1");
/// What the text of a public key begins with.
const PUBLIC_KEY_PREFIX: &str = "publickeyv1_";
/// How long a token is good, and how far the other side's clock may be behind.
const VALIDITY: Duration = Duration::from_mins(1);
/// How often the file is looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How many keys a file may hold.
pub const IDENTITY_KEYS_MAX: usize = 16;

/// What requests are signed with; nothing unless a key is configured. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Identity(Option<Arc<Signer>>);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("failed to read the request identity key {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds none, or too many.
    #[error(
        "{} holds {count} private keys, and must hold 1 to {IDENTITY_KEYS_MAX}, in PEM (`BEGIN PRIVATE KEY`): make one with `openssl genpkey -algorithm ed25519`",
        path.display()
    )]
    Count {
        /// The file.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// A key is of another kind.
    #[error(
        "key {number} in {} is no Ed25519 key ({reason}): make one with `openssl genpkey -algorithm ed25519`",
        path.display()
    )]
    Kind {
        /// The file.
        path: PathBuf,
        /// Which key, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Debug)]
struct Signer {
    path: PathBuf,
    current: Mutex<Current>,
}

/// What was read last.
#[derive(Debug)]
struct Current {
    keys: Arc<Keys>,
    /// What the file looked like, and when.
    looks: Option<Looks>,
    looked_at: Instant,
}

/// What changes when a file does.
type Looks = (SystemTime, u64);

/// The keys of a file, in its order; the last is the newest, and signs.
#[derive(Debug)]
struct Keys {
    newest: Ed25519KeyPair,
    public: Vec<String>,
}

impl Identity {
    /// Reads the keys of a PEM file. The last one signs; those before it are shown, so that
    /// deployments can be told of the next key before it signs.
    pub fn of_file(path: &Path) -> Result<Self, IdentityError> {
        let looks = looks_of(path);
        let keys = Arc::new(Keys::read(path)?);
        let current = Mutex::new(Current { keys, looks, looked_at: Instant::now() });
        Ok(Self(Some(Arc::new(Signer { path: path.to_owned(), current }))))
    }

    /// The public keys, as deployments are told them, the one that signs at the end.
    #[must_use]
    pub fn public_keys(&self) -> Vec<String> {
        self.0.as_ref().map(|signer| signer.keys().public.clone()).unwrap_or_default()
    }

    /// Signs a request to `path`, which is `/discover` or `/invoke/{service}/{handler}`, without
    /// what stands before it in the deployment's address.
    pub fn sign(&self, path: &str, headers: &mut HeaderMap) {
        let Some(signer) = &self.0 else {
            headers.insert(SCHEME, HeaderValue::from_static("unsigned"));
            headers.remove(TOKEN);
            return;
        };
        let token = signer.keys().token(path, SystemTime::now());
        let token = HeaderValue::try_from(token).expect("base64 and dots can stand in a header");
        headers.insert(SCHEME, HeaderValue::from_static("v1"));
        headers.insert(TOKEN, token);
    }
}

impl Signer {
    /// The keys that are in the file now, as far as they can be read.
    fn keys(&self) -> Arc<Keys> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked_at.elapsed() >= LOOK_INTERVAL {
            current.looked_at = Instant::now();
            self.look_again(&mut current);
        }
        Arc::clone(&current.keys)
    }

    fn look_again(&self, current: &mut Current) {
        let looks = looks_of(&self.path);
        if looks == current.looks {
            return;
        }
        current.looks = looks;
        match Keys::read(&self.path) {
            Ok(keys) => {
                let public_key = keys.public.last();
                tracing::info!(public_key, "the request identity was read anew");
                current.keys = Arc::new(keys);
            }
            Err(error) => tracing::error!(
                %error,
                "the request identity has changed and cannot be read: the former key goes on signing"
            ),
        }
    }
}

impl Keys {
    fn read(path: &Path) -> Result<Self, IdentityError> {
        let unreadable =
            |reason: String| IdentityError::Unreadable { path: path.to_owned(), reason };
        let pem = fs::read(path).map_err(|cause| unreadable(cause.to_string()))?;
        let keys = PrivatePkcs8KeyDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|cause| unreadable(cause.to_string()))?;
        let count = keys.len();
        let pairs = keys.iter().enumerate().map(|(index, key)| {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
            pair.map_err(|cause| IdentityError::Kind {
                path: path.to_owned(),
                number: index + 1,
                reason: cause.to_string(),
            })
        });
        let mut pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        let public = pairs.iter().map(public_key).collect();
        match pairs.pop() {
            Some(newest) if count <= IDENTITY_KEYS_MAX => Ok(Self { newest, public }),
            Some(_) | None => Err(IdentityError::Count { path: path.to_owned(), count }),
        }
    }

    /// Makes the token of a request that is sent at `now`.
    fn token(&self, path: &str, now: SystemTime) -> String {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": self.public.last() });
        let claims = json!({
            "aud": path,
            "nbf": now.saturating_sub(VALIDITY.as_secs()),
            "iat": now,
            "exp": now.saturating_add(VALIDITY.as_secs()),
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.newest.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn public_key(pair: &Ed25519KeyPair) -> String {
    format!("{PUBLIC_KEY_PREFIX}{}", bs58::encode(pair.public_key()).into_string())
}

fn looks_of(path: &Path) -> Option<Looks> {
    let about = fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

    use ring::signature::{ED25519, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    fn pem() -> String {
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem()
    }

    fn signed(identity: &Identity, path: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        identity.sign(path, &mut headers);
        headers
    }

    /// Takes a token apart and checks it with the public key that it names.
    fn verified(headers: &HeaderMap) -> (Value, Value) {
        let token = headers[&TOKEN].to_str().unwrap();
        let (text, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = text.split_once('.').unwrap();
        let [header, claims]: [Value; 2] = [header, claims]
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap());
        let key = header["kid"].as_str().unwrap().strip_prefix(PUBLIC_KEY_PREFIX).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, bs58::decode(key).into_vec().unwrap());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        key.verify(text.as_bytes(), &signature).unwrap();
        (header, claims)
    }

    #[test]
    fn a_request_is_signed_for_its_path_and_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, pem()).unwrap();
        let identity = Identity::of_file(&path).unwrap();
        let headers = signed(&identity, "/invoke/Greeter/greet");
        assert_eq!(headers[&SCHEME], "v1");
        let (header, claims) = verified(&headers);
        assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("JWT")));
        assert_eq!(identity.public_keys(), [header["kid"].as_str().unwrap()]);
        assert_eq!(claims["aud"], "/invoke/Greeter/greet");
        let at = |claim: &str| claims[claim].as_u64().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now - at("iat") < 60);
        assert_eq!((at("nbf") + 60, at("exp") - 60), (at("iat"), at("iat")));
    }

    #[test]
    fn without_a_key_a_request_says_so_whatever_its_headers_claim() {
        let mut headers = HeaderMap::from_iter([(TOKEN, HeaderValue::from_static("forged"))]);
        Identity::default().sign("/discover", &mut headers);
        assert_eq!(headers[&SCHEME], "unsigned");
        assert!(!headers.contains_key(&TOKEN));
        assert!(Identity::default().public_keys().is_empty());
    }

    #[test]
    fn the_last_key_of_a_file_signs_and_a_newer_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let (old, new) = (pem(), pem());
        fs::write(&path, &old).unwrap();
        let identity = Identity::of_file(&path).unwrap();
        let first = identity.public_keys();
        let look = || {
            let signer = identity.0.as_ref().unwrap();
            signer.look_again(&mut signer.current.lock().unwrap());
            identity.public_keys()
        };
        fs::write(&path, format!("{old}\n{new}")).unwrap();
        let both = look();
        assert_eq!((both.len(), &both[..1]), (2, &first[..]));
        let (header, _) = verified(&signed(&identity, "/discover"));
        assert_eq!(header["kid"], *both.last().unwrap());
        // A file that is being written, or gone, leaves what was read last.
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        assert_eq!(look(), both);
        fs::remove_file(&path).unwrap();
        assert_eq!(look(), both);
        fs::write(&path, &new).unwrap();
        assert_eq!(look(), both[1..]);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let refused = |text: String| {
            fs::write(&path, text).unwrap();
            Identity::of_file(&path).unwrap_err()
        };
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let error = refused(pem() + &other.serialize_pem());
        assert!(matches!(error, IdentityError::Kind { number: 2, .. }), "{error}");
        let error = refused("no PEM".into());
        assert!(matches!(error, IdentityError::Count { count: 0, .. }), "{error}");
        let many = |count| (0..count).map(|_| pem()).collect::<String>();
        let error = refused(many(IDENTITY_KEYS_MAX + 1));
        assert!(matches!(error, IdentityError::Count { .. }), "{error}");
        fs::write(&path, many(IDENTITY_KEYS_MAX)).unwrap();
        assert_eq!(Identity::of_file(&path).unwrap().public_keys().len(), IDENTITY_KEYS_MAX);
        let error = Identity::of_file(&folder.path().join("none.pem")).unwrap_err();
        assert!(error.to_string().contains("none.pem"), "{error}");
    }
}
