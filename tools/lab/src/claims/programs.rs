// SPDX-License-Identifier: GPL-2.0
//! Bugs that programs often have, shown.

use crate::multiplexer::both;
use crate::{holds_if, Claim, Finding, Verdict};
use anyhow::Result;
use repoll::Events;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

pub fn claims() -> Vec<Claim> {
    vec![
        Claim {
            text: "a level-triggered loop that ignores the end of a connection spins",
            expected: Verdict::Holds,
            experiment: ignored_end,
        },
        Claim {
            text: "an edge-triggered listener that accepts once for each event loses connections",
            expected: Verdict::Holds,
            experiment: accept_once,
        },
    ]
}

fn ignored_end() -> Result<Finding> {
    const TURNS: usize = 1000;
    let mut evidence = Vec::new();
    let mut spins = true;
    for (name, m) in both()? {
        let (server, client) = UnixStream::pair()?;
        m.add(&server, Events::IN)?;
        let before = m.wait(0)?;
        drop(client);
        // The loop does not close the descriptor: each wait returns at once, though it might wait.
        let mut returned = 0;
        for _ in 0..TURNS {
            returned += m.wait(1000)?;
        }
        spins &= before == 0 && returned == TURNS;
        evidence.push(format!("{name}: after the close {returned} of {TURNS} waits return an event, before it {before}"));
    }
    holds_if(
        spins,
        format!(
            "{}. The program must close the descriptor when read returns 0",
            evidence.join("; ")
        ),
    )
}

fn accept_once() -> Result<Finding> {
    const CLIENTS: usize = 5;
    let mut evidence = Vec::new();
    let mut loses = true;
    for (name, m) in both()? {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        m.add(&listener, Events::IN | Events::ET)?;
        let address = listener.local_addr()?;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| TcpStream::connect(address))
            .collect::<Result<_, _>>()?;
        let mut accepted = 0;
        while m.wait(100)? > 0 {
            accepted += usize::from(listener.accept().is_ok());
        }
        let mut left = 0;
        while listener.accept().is_ok() {
            left += 1;
        }
        drop(clients);
        loses &= accepted + left == CLIENTS && left > 0;
        evidence.push(format!(
            "{name}: of {CLIENTS} clients {accepted} accepted, {left} wait for ever"
        ));
    }
    holds_if(
        loses,
        format!(
            "{}. The program must accept until EAGAIN",
            evidence.join("; ")
        ),
    )
}
