// SPDX-License-Identifier: GPL-2.0
//! Instances that watch instances.

use crate::prelude::*;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "Nesting",
        text: "An instance is a file with a poll operation, so another instance can watch it: the \
               outer one's entry goes into the inner one's wait queue poll_wait. A file's callback \
               puts its item into the inner ready list and wakes poll_wait; that callback puts the \
               inner instance's item into the outer ready list and wakes a waiter there. Cycles \
               and more than five levels are refused, so that one event cannot become an \
               avalanche.",
        sample: None,
        claims: vec![
            Claim {
                text: "an instance watches an instance: an event of the inner one is one of the \
                       outer one",
                expected: Verdict::Holds,
                because: "While the inner one has events, the outer one reports that it can be \
                          read.",
                source: "fs/eventpoll.c:1574, ep_poll_safewake(); rust/eventpoll/nesting.rs",
                experiment: nested,
            },
            Claim {
                text: "instances can watch each other in a cycle",
                expected: Verdict::Fails,
                because: "A cycle fails with ELOOP, an instance that watches itself with EINVAL.",
                source: "fs/eventpoll.c, ep_loop_check(); rust/eventpoll/nesting.rs",
                experiment: circle,
            },
            Claim {
                text: "an instance watches instances of any kind",
                expected: Verdict::Holds,
                because: "But repoll does not watch an epoll, since a module cannot see whether \
                          that makes a cycle: it fails with ELOOP.",
                source: "Documentation/reference/differences.rst",
                experiment: of_any_kind,
            },
        ],
    }
}

fn nested() -> Result<Finding> {
    Finding::of_calls(recorded(|side| {
        let (outer, inner) = (Multiplexer::new(side)?, Multiplexer::new(side)?);
        let fd = eventfd()?;
        inner.add(&fd, EventFlags::IN)?;
        outer.add(&inner, EventFlags::IN)?;
        let before = outer.wait(NOW)?;
        let during = scope(|threads| {
            let waiter = start(threads, "waiter", || Ok(outer.wait(FOR_EVER)?))?;
            waiter.until_asleep()?;
            signal(&fd)?;
            waiter.end()
        })?;
        let in_inner = inner.wait(NOW)?;
        read(&fd, &mut [0; 8])?;
        let after = outer.wait(NOW)?;
        let seen = format!(
            "the outer one has {before} events before, {during} when the file is ready; the \
                 inner one {in_inner}; after the read the outer one has {after}"
        );
        let holds = [before, during, in_inner, after] == [0, 1, 1, 0];
        Ok((Verdict::holds(holds), seen))
    }))
}

fn circle() -> Result<Finding> {
    Finding::of_calls(|side| {
        let (one, other) = (Multiplexer::new(side)?, Multiplexer::new(side)?);
        one.add(&other, EventFlags::IN)?;
        let results = [
            other.add(&one, EventFlags::IN),
            one.add(&one, EventFlags::IN),
        ];
        let verdict = Verdict::holds(results.iter().any(Result::is_ok));
        let said = results.map(|result| match result {
            Ok(()) => "done".to_owned(),
            Err(error) => error.to_string(),
        });
        Ok((
            verdict,
            format!(
                "each watches the other: {}; one watches itself: {}",
                said[0], said[1]
            ),
        ))
    })
}

fn of_any_kind() -> Result<Finding> {
    let fd = eventfd_of(1)?;
    // They are made before takeover begins, so they stay the C epoll's.
    let (inner, outer) = (
        Multiplexer::new(Side::Kernel)?,
        Multiplexer::new(Side::Kernel)?,
    );
    inner.add(&fd, EventFlags::IN)?;
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        m.add(&fd, EventFlags::IN)?;
        outer.add(&m, EventFlags::IN)?;
        let events = outer.wait(NOW)?;
        let watched = Multiplexer::new(side)?.add(&inner, EventFlags::IN);
        let said = watched.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        let seen = format!("an epoll watches it: {events} event; it watches an epoll: {said}");
        Ok((Verdict::holds(events == 1), seen))
    })
}
