//! A question in addresses, from one in names.

use std::net::IpAddr;

use super::{EndpointError, Resolution, address_of, find_beside, resolve};
use crate::diagnose::{Endpoint, Protocol, Question, Target, Whom};

/// Where name servers listen.
const DNS: u16 = 53;

/// A question, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// In addresses.
    pub question: Question,
    /// Why it is another one than was asked.
    pub instead: Option<String>,
}

/// There is no such question.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The name belongs to nobody.
    #[error("{server}, the name server of {from}, knows no `{name}`")]
    NoSuchName {
        /// Who was asked.
        server: IpAddr,
        /// Whose server that is.
        from: String,
        /// The name.
        name: String,
    },
    /// Nobody could say whose the name is.
    #[error("`{name}` cannot be looked up: {why}")]
    NotLookedUp {
        /// The name.
        name: String,
        /// Why.
        why: String,
    },
    /// It is an endpoint, and no packet can be sent to it.
    #[error("{0} has no address")]
    NoAddress(String),
    /// It is an endpoint that cannot be looked at, or several.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl Asked {
    /// By address, or by the name of an endpoint, or else by one that the sender's own resolver knows. Where that gives no
    /// answer, whether it can be reached is the question.
    ///
    /// # Errors
    /// The name belongs to nobody, or to somebody without an address.
    pub fn new(from: Endpoint, to: &Target, protocol: Protocol) -> Result<Self, AskError> {
        let question = |from, address| Question { from, to: address, port: to.port, protocol };
        let name = match &to.whom {
            Whom::Address(address) => return Ok(Self { question: question(from, *address), instead: None }),
            Whom::Name(name) => name.clone(),
        };
        if let Some(address) = of_endpoint(&name, &from)? {
            return Ok(Self { question: question(from, address), instead: None });
        }
        let why = match resolve(&from, &name)? {
            Resolution::Address(address) => return Ok(Self { question: question(from, address), instead: None }),
            Resolution::NoSuchName(server) => return Err(AskError::NoSuchName { server, from: from.name, name }),
            Resolution::NoAnswer(server) => {
                let instead = format!(
                    "{} cannot look up `{name}`: {server}, its name server, does not answer; so that is the question",
                    from.name
                );
                let question = Question { from, to: server, port: Some(DNS), protocol: Protocol::Udp };
                return Ok(Self { question, instead: Some(instead) });
            }
            Resolution::Refused(server) => {
                format!("{server}, the name server of {}, answers, but not with an address", from.name)
            }
            Resolution::Nobody(why) => why,
        };
        Err(AskError::NotLookedUp { name, why })
    }
}

/// `None` if it is no endpoint's name.
fn of_endpoint(name: &str, from: &Endpoint) -> Result<Option<IpAddr>, AskError> {
    match find_beside(name, from) {
        Ok(to) => address_of(&to, from)?.map(Some).ok_or_else(|| AskError::NoAddress(name.to_owned())),
        Err(EndpointError::Unknown { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
