//! Basic authentication, by bcrypt hashes as `htpasswd -B` and Prometheus's exporters have them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Each step doubles the time: this one takes some seconds, and nobody waits for more.
const DEAREST: u32 = 16;
/// Right answers that are remembered.
const MEMORY: usize = 64;

/// Why a hash is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It is of another kind.
    #[error("not a bcrypt hash, which looks like $2y$10$… and has 60 characters (`htpasswd -nB NAME` makes one)")]
    NotBcrypt,
    /// It takes too long.
    #[error("its cost is {0}, and more than {DEAREST} takes too long for each request")]
    TooDear(u32),
}

/// Who may ask.
pub struct Auth {
    /// Hashes by user.
    users: BTreeMap<String, String>,
    /// What a user who is none is compared with, so that it takes as long.
    nobody: Option<String>,
    /// Fingerprints of what was found right, with keys that only this process knows: a hash is made to take long, and a
    /// scrape must not.
    known: Mutex<Vec<(u64, u64)>>,
    keys: (RandomState, RandomState),
    /// One at a time: whoever guesses keeps one CPU busy at most.
    turn: Semaphore,
}

impl Auth {
    /// Takes users with their hashes.
    pub fn new(users: BTreeMap<String, String>) -> Self {
        let nobody = users.values().next().cloned();
        let keys = (RandomState::new(), RandomState::new());
        Self { users, nobody, known: Mutex::default(), keys, turn: Semaphore::new(1) }
    }

    /// Whether a hash is one.
    ///
    /// # Errors
    /// It is not, or checking it would take too long.
    pub fn check(hash: &str) -> Result<(), HashError> {
        let parts = HashParts::from_str(hash).map_err(|_| HashError::NotBcrypt)?;
        // What is right in form only is found out by trying.
        let tried = if parts.get_cost() > DEAREST { Ok(false) } else { bcrypt::verify("", &cheap(hash)) };
        match (parts.get_cost(), tried) {
            (_, Err(_)) => Err(HashError::NotBcrypt),
            (cost, Ok(_)) if cost > DEAREST => Err(HashError::TooDear(cost)),
            _ => Ok(()),
        }
    }

    /// Whether whoever sent this `Authorization` header may ask.
    pub async fn admits(self: &Arc<Self>, header: &str) -> bool {
        let fingerprint = (self.keys.0.hash_one(header), self.keys.1.hash_one(header));
        if self.is_known(fingerprint) {
            return true;
        }
        let Some((user, password)) = credentials(header) else { return false };
        let Ok(_turn) = self.turn.acquire().await else { return false };
        // The one before may have been the same.
        if self.is_known(fingerprint) {
            return true;
        }
        let own = Arc::clone(self);
        let is_right = spawn_blocking(move || own.verify(&user, &password)).await.unwrap_or(false);
        if is_right {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MEMORY {
                known.remove(0);
            }
            known.push(fingerprint);
        }
        is_right
    }

    /// Looks at all of them, and at each as a whole: how long it takes tells nothing.
    fn is_known(&self, fingerprint: (u64, u64)) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |(a, b): &(u64, u64)| ((a ^ fingerprint.0) | (b ^ fingerprint.1)) == 0;
        known.iter().fold(false, |found, one| found | is_same(one))
    }

    fn verify(&self, user: &str, password: &[u8]) -> bool {
        let own = self.users.get(user);
        let Some(hash) = own.or(self.nobody.as_ref()) else { return false };
        bcrypt::verify(password, hash).unwrap_or(false) & own.is_some()
    }
}

/// The same hash at the lowest cost.
fn cheap(hash: &str) -> String {
    let mut parts: Vec<&str> = hash.splitn(4, '$').collect();
    if let Some(cost) = parts.get_mut(2) {
        *cost = "04";
    }
    parts.join("$")
}

fn credentials(header: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at(colon);
    Some((String::from_utf8(user.to_vec()).ok()?, password.get(1..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn header(user: &str, password: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    }

    fn auth(cost: u32) -> Arc<Auth> {
        let hash = bcrypt::hash("se:cret", cost).unwrap();
        Arc::new(Auth::new(BTreeMap::from([("prometheus".to_owned(), hash)])))
    }

    fn admits(auth: &Arc<Auth>, header: &str) -> bool {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(auth.admits(header))
    }

    #[test]
    fn only_the_right_password_of_a_user_is_right() {
        let auth = auth(4);
        assert!(admits(&auth, &header("prometheus", "se:cret")));
        assert!(admits(&auth, &header("prometheus", "se:cret").replace("Basic", "bASIC")));
        for (user, password) in [("prometheus", "secret"), ("prometheus", ""), ("", ""), ("root", "se:cret")] {
            assert!(!admits(&auth, &header(user, password)), "{user}:{password}");
        }
        let right = header("prometheus", "se:cret");
        for wrong in ["", "Basic", "Basic ", "Basic !", "Bearer x", &right[..right.len() - 4], &right[6..]] {
            assert!(!admits(&auth, wrong), "{wrong}");
        }
    }

    #[test]
    fn what_was_right_once_costs_nothing_again() {
        let (auth, right) = (auth(10), header("prometheus", "se:cret"));
        assert!(admits(&auth, &right));
        let began = Instant::now();
        for _ in 0..1000 {
            assert!(admits(&auth, &right));
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[test]
    fn hashes_of_no_use_are_told() {
        let right = bcrypt::hash("x", 4).unwrap();
        assert_eq!(Auth::check(&right), Ok(()));
        assert_eq!(Auth::check(&right.replace("$04$", "$16$")), Ok(()));
        assert_eq!(Auth::check(&right.replace("$04$", "$17$")), Err(HashError::TooDear(17)));
        let cut = &right[..right.len() - 1];
        for wrong in ["", "secret", "$2y$", cut, "$6$abc$def", &right.replace("$04$", "$x4$"), &format!("{cut}!")] {
            assert_eq!(Auth::check(wrong), Err(HashError::NotBcrypt), "{wrong}");
        }
    }
}
