use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};

use super::message::{DATAGRAM, Message, Messages, NLMSG_DONE, NLMSG_ERROR};
use super::request::{Request, decode, encode};
use super::{Error, Result};
use crate::netns::{Netns, in_netns};

/// Changes per system call: the answers wait in the socket's receive buffer until the last one is made.
const BATCH: usize = 64;
/// A dump that raced a change says so and is read again; more often than this is no coincidence.
const DUMP_ATTEMPTS: usize = 20;

/// A connection to rtnetlink in one namespace, whichever thread uses it.
#[derive(Debug)]
pub struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
}

impl Socket {
    /// Opens a socket that belongs to `netns`.
    pub fn open_in(netns: &Netns) -> Result<Self> {
        in_netns(netns, Self::open)?
    }

    /// Opens a socket in the calling thread's namespace.
    pub fn open() -> Result<Self> {
        let open = || -> io::Result<netlink_sys::Socket> {
            let socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // Answers carry the kernel's own sentence and leave out a copy of the request.
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            Ok(socket)
        };
        Ok(Self { inner: open().map_err(Error::Open)?, sequence: 0 })
    }

    /// Makes one change and waits for the kernel's answer.
    pub fn apply(&mut self, request: Request) -> Result<()> {
        self.apply_all(&[request])
    }

    /// Makes several changes with few system calls. The kernel does them in order and goes on after a failure; the error
    /// of the first that it refused is returned.
    pub fn apply_all(&mut self, requests: &[Request]) -> Result<()> {
        self.apply_each(requests)?.into_iter().collect()
    }

    /// Makes any number of changes, and says of each what became of it.
    pub fn apply_each(&mut self, requests: &[Request]) -> Result<Vec<Result<()>>> {
        let mut answers = Vec::with_capacity(requests.len());
        for batch in requests.chunks(BATCH) {
            answers.extend(self.apply_batch(batch)?);
        }
        Ok(answers)
    }

    fn apply_batch(&mut self, requests: &[Request]) -> Result<Vec<Result<()>>> {
        let Some(first) = requests.first() else { return Ok(Vec::new()) };
        let base = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            request.write(self.sequence, &mut datagram);
        }
        self.send(&datagram, &first.what)?;

        // The kernel answers in the order it was asked.
        let mut answers = Vec::with_capacity(requests.len());
        while answers.len() < requests.len() {
            for message in Messages(&self.receive(&first.what)?) {
                let asked = requests.get(message.sequence.wrapping_sub(base) as usize);
                if let (Some(request), NLMSG_ERROR) = (asked, message.kind) {
                    answers.push(message.answer(&request.what));
                }
            }
        }
        Ok(answers)
    }

    /// Asks for something that has one answer.
    pub(super) fn get(&mut self, what: &str, question: RouteNetlinkMessage) -> Result<RouteNetlinkMessage> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        encode(question, NLM_F_REQUEST, self.sequence, &mut datagram);
        self.send(&datagram, what)?;
        loop {
            for message in Messages(&self.receive(what)?).filter(|message| message.sequence == self.sequence) {
                match message.kind {
                    NLMSG_ERROR => message.answer(what)?,
                    _ => return decode(what, &message),
                }
            }
        }
    }

    /// Lists all objects of a kind. Several attempts are made to get a list that no change fell into.
    pub(super) fn dump(&mut self, what: &str, question: &RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
        self.dump_as(what, question, |message| decode(what, message))
    }

    /// Lists all objects of a kind as the kernel wrote them, headers left out: for kinds whose attributes depend on
    /// modules that nobody here knows.
    pub(super) fn dump_raw(&mut self, what: &str, question: &RouteNetlinkMessage) -> Result<Vec<Vec<u8>>> {
        self.dump_as(what, question, |message| Ok(message.body().to_vec()))
    }

    fn dump_as<T>(
        &mut self,
        what: &str,
        question: &RouteNetlinkMessage,
        decode: impl Fn(&Message<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(found) = self.dump_once(what, question, &decode)? {
                return Ok(found);
            }
        }
        Err(Error::Unsteady { what: what.to_owned() })
    }

    /// `None`: something changed halfway, some objects may be missing or there twice.
    fn dump_once<T>(
        &mut self,
        what: &str,
        question: &RouteNetlinkMessage,
        decode: impl Fn(&Message<'_>) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        encode(question.clone(), NLM_F_REQUEST | NLM_F_DUMP, self.sequence, &mut datagram);
        self.send(&datagram, what)?;
        let mut found = Vec::new();
        let mut steady = true;
        loop {
            for message in Messages(&self.receive(what)?).filter(|message| message.sequence == self.sequence) {
                steady &= !message.interrupted();
                match message.kind {
                    NLMSG_DONE => return Ok(steady.then_some(found)),
                    NLMSG_ERROR => message.answer(what)?,
                    _ => found.push(decode(&message)?),
                }
            }
        }
    }

    fn send(&self, datagram: &[u8], what: &str) -> Result<()> {
        let failed = |source| Error::Transport { what: what.to_owned(), call: "send", source };
        self.inner.send(datagram, 0).map(drop).map_err(failed)
    }

    fn receive(&self, what: &str) -> Result<Vec<u8>> {
        let failed = |source| Error::Transport { what: what.to_owned(), call: "receive", source };
        loop {
            let mut datagram = Vec::with_capacity(DATAGRAM);
            match self.inner.recv(&mut datagram, libc::MSG_TRUNC) {
                Ok(length) if length > datagram.len() => return Err(failed(io::ErrorKind::FileTooLarge.into())),
                Ok(_) => return Ok(datagram),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.inner.as_raw_fd()
    }
}
