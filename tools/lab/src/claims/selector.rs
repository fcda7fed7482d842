// SPDX-License-Identifier: GPL-2.0
//! Event loops, and the bugs of the articles' own programs.

use crate::prelude::*;
use crate::threads::{Actor, A_MOMENT};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "The selector loop",
        text: "A server registers its files, waits, and serves the reported ones. Java's Selector \
               (register, select, selected keys) does so with a level-triggered epoll; servers in \
               C often use ET | RDHUP | ONESHOT, so that one thread at a time serves a connection. \
               Two things are easily forgotten. A connection that has ended stays readable: read \
               returns 0, or -1 in Java, and the program must close it. And one edge can stand for \
               many connections that wait to be accepted.",
        sample: Some("echo-server"),
        claims: vec![
            Claim {
                text: "Java NIO's Selector is an epoll loop: register, select, selected keys",
                expected: Verdict::Holds,
                because:
                    "It is level-triggered. A selected key stays in its set until the program \
                          removes it.",
                source: "OpenJDK, src/java.base/linux/classes/sun/nio/ch/EPollSelectorImpl.java",
                experiment: || Finding::read(Verdict::Holds),
            },
            Claim {
                text: "a selector loop that ignores end-of-file spins when a client closes",
                expected: Verdict::Holds,
                because: "A bug of the articles' server: it continues when read returns -1.",
                source: "fs/eventpoll.c:2114; net/unix/af_unix.c, unix_poll(): EPOLLIN after the \
                         peer's shutdown",
                experiment: ignored_end,
            },
            Claim {
                text: "an edge-triggered listener that accepts once per event loses connections",
                expected: Verdict::Holds,
                because: "A bug of the articles' server: it must accept until EAGAIN.",
                source: "fs/eventpoll.c:2112; net/unix/af_unix.c, unix_stream_connect()",
                experiment: accept_once,
            },
            Claim {
                text:
                    "with ET | RDHUP | ONESHOT one thread at a time serves a connection, and its \
                       end is reported",
                expected: Verdict::Holds,
                because: "The thread that has served it arms it again with MOD.",
                source: "fs/eventpoll.c:2112; rust/eventpoll/item.rs",
                experiment: one_at_a_time,
            },
        ],
    }
}

/// The selector of an event loop, as in Java.
struct Selector {
    m: Multiplexer,
    connections: HashMap<u64, UnixStream>,
}

impl Selector {
    fn new(side: Side) -> Result<Self> {
        Ok(Self {
            m: Multiplexer::new(side)?,
            connections: HashMap::new(),
        })
    }

    fn register(&mut self, connection: UnixStream) -> Result<()> {
        connection.set_nonblocking(true)?;
        self.m.add(&connection, EventFlags::IN)?;
        self.connections
            .insert(connection.as_raw_fd() as u64, connection);
        Ok(())
    }

    /// The keys that are ready.
    fn select(&self, timeout: Option<Duration>) -> Result<Vec<u64>> {
        let events = self.m.events(timeout)?;
        Ok(events.iter().map(|event| event.data()).collect())
    }
}

/// Counts the turns of a loop that have an event after its only client has closed, at most `turns`.
fn turns_after_close(side: Side, handles_end: bool, turns: usize) -> Result<usize> {
    let mut selector = Selector::new(side)?;
    let (server, client) = UnixStream::pair()?;
    selector.register(server)?;
    ensure!(selector.select(NOW)?.is_empty(), "ready before the close");
    drop(client);
    let mut count = 0;
    for _ in 0..turns {
        // Without a key a real loop would sleep, so this one ends.
        let keys = selector.select(if count == 0 { FOR_EVER } else { NOW })?;
        if keys.is_empty() {
            break;
        }
        count += 1;
        for key in keys {
            let Some(mut connection) = selector.connections.get(&key) else {
                continue;
            };
            let read = connection.read(&mut [0; 64]);
            if handles_end && matches!(read, Ok(0)) {
                selector.connections.remove(&key);
            }
        }
    }
    Ok(count)
}

fn ignored_end() -> Result<Finding> {
    const TURNS: usize = 1000;
    Finding::of_calls(|side| {
        let ignored = turns_after_close(side, false, TURNS)?;
        let minded = turns_after_close(side, true, TURNS)?;
        let seen = format!(
            "after the close select returns at once {ignored} times of {TURNS}; {minded} time if \
             the program closes too"
        );
        let (_, trace) = record_story(|| turns_after_close(side, false, 10))?;
        Ok((Verdict::holds(ignored == TURNS && minded == 1), seen, trace))
    })
}

/// Counts the clients that are accepted, of those that connect before the wait, and those that wait
/// for ever.
///
/// The sockets are Unix sockets: their connections can be accepted when connect returns. With TCP
/// the last packet may still be under way.
fn accepted(side: Side, clients: usize, until_none: bool) -> Result<(usize, usize)> {
    let address = SocketAddr::from_abstract_name(format!("repoll-lab {}", std::process::id()))?;
    let listener = UnixListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    let m = Multiplexer::new(side)?;
    m.add(&listener, EventFlags::IN | EventFlags::ET)?;
    let _clients: Vec<_> = (0..clients)
        .map(|_| UnixStream::connect_addr(&address))
        .collect::<Result<_, _>>()?;
    let mut accepted = 0;
    while m.wait(NOW)? > 0 {
        while listener.accept().is_ok() {
            accepted += 1;
            if !until_none {
                break;
            }
        }
    }
    let mut left = 0;
    while listener.accept().is_ok() {
        left += 1;
    }
    Ok((accepted, left))
}

fn accept_once() -> Result<Finding> {
    const CLIENTS: usize = 5;
    Finding::of_calls(|side| {
        let (some, lost) = accepted(side, CLIENTS, false)?;
        let (all, none) = accepted(side, CLIENTS, true)?;
        let seen = format!(
            "of {CLIENTS} clients, {some} are accepted and {lost} wait for ever; with accept until \
             EAGAIN {all} and {none}"
        );
        let holds = lost > 0 && some + lost == CLIENTS && (all, none) == (CLIENTS, 0);
        let (_, trace) = record_story(|| accepted(side, 3, false))?;
        Ok((Verdict::holds(holds), seen, trace))
    })
}

/// A connection that either of two threads serves, but not both at once.
struct Connection {
    stream: UnixStream,
    served: AtomicBool,
}

const MESSAGES: usize = 20;

/// The work of a server with two threads.
#[derive(Default)]
struct Done {
    /// Bytes sent back.
    echoed: AtomicUsize,
    /// Ends of connections seen.
    ends: AtomicUsize,
    /// Events during which the other thread served the same connection.
    together: AtomicUsize,
}

fn serve(m: &Multiplexer, connections: &[Connection], home: u64, done: &Done) -> Result<()> {
    let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET | EventFlags::ONESHOT;
    loop {
        for event in m.events(FOR_EVER)? {
            if event.data() == home {
                return Ok(());
            }
            let connection = connections
                .iter()
                .find(|connection| connection.stream.as_raw_fd() as u64 == event.data());
            let Some(connection) = connection else {
                continue;
            };
            if connection.served.swap(true, Ordering::SeqCst) {
                done.together.fetch_add(1, Ordering::SeqCst);
            }
            let mut stream = &connection.stream;
            let mut bytes = [0; 64];
            loop {
                match stream.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(length) => {
                        stream.write_all(&bytes[..length])?;
                        done.echoed.fetch_add(length, Ordering::SeqCst);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            connection.served.store(false, Ordering::SeqCst);
            if event.flags().contains(EventFlags::RDHUP) {
                done.ends.fetch_add(1, Ordering::SeqCst);
                connection.stream.shutdown(Shutdown::Both)?;
            } else {
                m.modify(&connection.stream, interest)?;
            }
        }
    }
}

fn one_at_a_time() -> Result<Finding> {
    const CLIENTS: usize = 3;
    let experiment = |side, messages: usize| {
        let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET | EventFlags::ONESHOT;
        let m = Multiplexer::new(side)?;
        let home = eventfd()?;
        m.add(&home, EventFlags::IN)?;
        let (mut connections, mut clients) = (Vec::new(), Vec::new());
        for _ in 0..CLIENTS {
            let (stream, client) = UnixStream::pair()?;
            stream.set_nonblocking(true)?;
            m.add(&stream, interest)?;
            connections.push(Connection {
                stream,
                served: AtomicBool::new(false),
            });
            clients.push(client);
        }
        let done = Done::default();
        scope(|threads| {
            let act = || serve(&m, &connections, home.as_raw_fd() as u64, &done);
            let servers = [
                start(threads, "server one", act)?,
                start(threads, "server two", act)?,
            ];
            for _ in 0..messages {
                for client in &mut clients {
                    client.write_all(b"x")?;
                }
                for client in &mut clients {
                    client.read_exact(&mut [0])?;
                }
            }
            for client in &mut clients {
                client.shutdown(Shutdown::Write)?;
                // The server closes too, when it has seen the end.
                client.read_to_end(&mut Vec::new())?;
            }
            // More than once: a changed module may wake one thread only.
            while !servers.iter().all(Actor::has_ended) {
                signal(&home)?;
                sleep(A_MOMENT);
            }
            for server in servers {
                server.end()?;
            }
            Ok::<_, anyhow::Error>(())
        })?;
        Ok::<_, anyhow::Error>(done)
    };
    Finding::of_calls(|side| {
        let done = experiment(side, MESSAGES)?;
        let (echoed, ends, together) = (
            done.echoed.into_inner(),
            done.ends.into_inner(),
            done.together.into_inner(),
        );
        let seen = format!(
            "two threads, {CLIENTS} clients: {echoed} of {} bytes came back, {ends} ends were \
             seen, {together} times both threads served one connection",
            CLIENTS * MESSAGES
        );
        let holds = (echoed, ends, together) == (CLIENTS * MESSAGES, CLIENTS, 0);
        let (_, trace) = record_story(|| experiment(side, 1))?;
        Ok((Verdict::holds(holds), seen, trace))
    })
}
