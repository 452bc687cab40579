//! The servers of a node, run by its PID 1: started with it, and stopped and started again by a signal.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{Shutdown, shutdown};

use super::init::Instructions;
use super::topology::Service;
use super::{dns, http};

/// A server's socket. Its thread ends when it is stopped.
#[derive(Debug)]
pub(super) struct Server {
    socket: OwnedFd,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Stops it: from here on the port is closed.
    fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that waits on the socket. A datagram socket says that it is not connected, and wakes it too.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

/// All servers of a node.
#[derive(Debug)]
pub(super) struct Servers {
    instructions: Instructions,
    running: Vec<Server>,
}

impl Servers {
    /// Starts what the node shall run. All of them listen when this returns.
    pub(super) fn start(instructions: Instructions) -> Result<Self, String> {
        let mut servers = Self { instructions, running: Vec::new() };
        servers.start_again()?;
        Ok(servers)
    }

    /// Starts them after [`Self::stop`]; does nothing while they run.
    pub(super) fn start_again(&mut self) -> Result<(), String> {
        if !self.running.is_empty() {
            return Ok(());
        }
        for service in &self.instructions.services {
            let started = start(*service, &self.instructions);
            self.running.push(started.map_err(|error| format!("run {service}: {error}"))?);
        }
        Ok(())
    }

    /// Stops them all.
    pub(super) fn stop(&mut self) {
        self.running.drain(..).for_each(Server::stop);
    }
}

fn start(service: Service, instructions: &Instructions) -> io::Result<Server> {
    let stopped = Arc::new(AtomicBool::new(false));
    let socket: OwnedFd = match service {
        Service::Http { port } => {
            // One socket for both families (bindv6only is 0 in a new namespace); a kernel without IPv6 has no `::`.
            let listener = TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
            let greeting = format!("Hello from {}, a node of lab {}.", instructions.node, instructions.lab);
            let handle = listener.try_clone()?;
            http::serve(listener, greeting, Arc::clone(&stopped))?;
            handle.into()
        }
        Service::Dns { port } => {
            let socket = UdpSocket::bind(("0.0.0.0", port))?;
            let handle = socket.try_clone()?;
            dns::serve(socket, dns::Names::of_hosts(&instructions.hosts), Arc::clone(&stopped))?;
            handle.into()
        }
    };
    Ok(Server { socket, stopped })
}
