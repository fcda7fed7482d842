// SPDX-License-Identifier: GPL-2.0
//! Stories and statistics of small traces, written as text.

use crate::ftrace::filter::Filter;
use crate::ftrace::record::Record;
use crate::ftrace::script::records;
use crate::story::{self, Cause, Story};
use crate::views::stat::Statistics;

fn names(story: &Story) -> String {
    let names: Vec<_> = story.steps.iter().map(|step| step.name).collect();
    names.join(", ")
}

fn stories(text: &str) -> Vec<Story> {
    let stories = story::all(&records(text));
    for story in &stories {
        assert!(
            story.steps.is_sorted_by(|one, next| one.at < next.at),
            "{story:#?}"
        );
    }
    stories
}

/// Two instances watch a third one; the waiters of both are woken.
const TWO: &str = "
    0 task 1 sys_enter_write fd=9
    0 task 1 repoll_callback ep=1 item=1 fd=9 key=1 outcome=queued
    0 task 1 repoll_queue ep=1 item=1 fd=9 reason=callback
    0 task 1 repoll_wake ep=1 waiters=0 pollers=1
    0 task 1 repoll_callback ep=2 item=2 fd=5 key=1 outcome=queued
    0 task 1 repoll_queue ep=2 item=2 fd=5 reason=callback
    0 task 1 repoll_wake ep=2 waiters=1 pollers=0
    0 task 1 sched_waking pid=20 comm=two target_cpu=1
    0 task 1 repoll_callback_exit ep=2 item=2 fd=5 woken=1 used=0
    0 task 1 repoll_callback ep=3 item=3 fd=6 key=1 outcome=queued
    0 task 1 repoll_queue ep=3 item=3 fd=6 reason=callback
    0 task 1 repoll_wake ep=3 waiters=1 pollers=0
    0 task 1 sched_waking pid=30 comm=three target_cpu=1
    0 task 1 repoll_callback_exit ep=3 item=3 fd=6 woken=1 used=0
    0 task 1 repoll_callback_exit ep=1 item=1 fd=9 woken=0 used=0
    1 task 0 sched_switch prev_pid=0 prev_comm=idle next_pid=20 next_comm=two
    1 task 20 repoll_poll ep=1 item=1 fd=9 events=1 ready=1
    1 task 20 repoll_poll ep=2 item=2 fd=5 events=1 ready=1
    1 task 20 repoll_deliver ep=2 item=2 fd=5 events=1 data=2
    1 task 20 repoll_wait_exit ep=2 ret=1
    1 task 20 sched_switch prev_pid=20 prev_comm=two next_pid=30 next_comm=three
    1 task 30 repoll_poll ep=1 item=1 fd=9 events=1 ready=1
    1 task 30 repoll_poll ep=3 item=3 fd=6 events=1 ready=1
    1 task 30 repoll_deliver ep=3 item=3 fd=6 events=1 data=3
    1 task 30 repoll_wait_exit ep=3 ret=1
    1 task 30 repoll_wait_enter ep=1
    1 task 30 repoll_poll ep=1 item=1 fd=9 events=1 ready=1
    1 task 30 repoll_deliver ep=1 item=1 fd=9 events=1 data=1
    1 task 30 repoll_queue ep=1 item=1 fd=9 reason=level
    1 task 30 repoll_wait_exit ep=1 ret=1
    1 task 30 sys_enter_read fd=9
";

#[test]
fn an_event_goes_up_to_the_waiter_and_down_to_the_file() {
    let stories = stories(TWO);
    let [first, second] = &stories[..] else {
        panic!("{stories:#?}")
    };
    let up = "system call, callback, ready queue, wake-up, nesting, ready queue, wake-up, \
              scheduler, running, poll, poll, delivery, wait returns";
    // Thread 20 does not WAIT on the inner instance afterwards, so its story ends there.
    assert_eq!(names(first), up);
    assert_eq!(
        names(second),
        format!("{up}, poll, delivery, requeue, wait returns, use")
    );
    assert_eq!(first.receiver, "two (20)");
    assert_eq!(
        second.subject(),
        "instance 1 item 1 fd 9, instance 3 item 3 fd 6"
    );
    assert_eq!(second.receiver, "three (30)");
}

#[test]
fn filters_match_every_callee() {
    let records = records(TWO);
    let stories = story::all(&records);
    for (condition, expected) in [
        ("ep=1", 2),
        ("ep=3", 1),
        ("item=2", 1),
        ("fd=6", 1),
        ("fd=7", 0),
        ("task=30", 0),
        ("source=1", 0),
        ("event=deliver", 2),
        ("event=disarm", 0),
    ] {
        let filter = Filter(vec![condition.parse().expect("a condition")]);
        let count = stories
            .iter()
            .filter(|story| filter.wants(story, &records))
            .count();
        assert_eq!(count, expected, "{condition}");
    }
}

#[test]
fn without_its_end_a_callback_does_not_reach_into_the_next() {
    let cut: Vec<_> = TWO
        .lines()
        .filter(|line| !line.contains("_exit ep=1 item=1"))
        .collect();
    let stories = stories(&format!(
        "{}\n0 task 1 sys_exit_write ret=8\n0 task 1 sys_enter_write fd=4\n\
         0 task 1 repoll_callback ep=7 item=7 fd=4 key=1 outcome=queued",
        cut.join("\n")
    ));
    let last = stories.last().expect("a story");
    assert_eq!(names(last), "system call, callback");
    assert_eq!(last.called.len(), 1, "{last:#?}");
}

/// POLL of two files: their wait queues wake it twice in vain, then once with an event.
const POLL: &str = "
    1 task 20 repoll_select_setup task=20 call=poll nfds=2 bytes_in=16 timeout=-1
    1 task 20 repoll_select_poll task=20 fd=3 events=25 ready=4
    1 task 20 repoll_select_poll task=20 fd=4 events=25 ready=0
    1 task 20 repoll_select_pass task=20 pass=1 polled=2 entries=2 ready=0
    1 task 20 repoll_select_sleep task=20 sleep=1 wakeups=0
    0 soft 1 repoll_select_wake task=20 fd=3 key=4 matched=0
    0 soft 1 repoll_select_wake task=20 fd=3 key=1 matched=1
    0 soft 1 sched_waking pid=20 comm=caller target_cpu=1
    0 soft 1 repoll_select_wake task=20 fd=4 key=1 matched=1
    1 task 0 sched_switch prev_pid=0 prev_comm=idle next_pid=20 next_comm=caller
    1 task 20 repoll_select_poll task=20 fd=3 events=25 ready=4
    1 task 20 repoll_select_poll task=20 fd=4 events=25 ready=0
    1 task 20 repoll_select_pass task=20 pass=2 polled=2 entries=2 ready=0
    1 task 20 repoll_select_sleep task=20 sleep=2 wakeups=2
    0 soft 1 repoll_select_wake task=20 fd=4 key=1 matched=1
    0 soft 1 sched_waking pid=20 comm=caller target_cpu=1
    1 task 0 sched_switch prev_pid=0 prev_comm=idle next_pid=20 next_comm=caller
    1 task 20 repoll_select_poll task=20 fd=3 events=25 ready=4
    1 task 20 repoll_select_poll task=20 fd=4 events=25 ready=1
    1 task 20 repoll_select_pass task=20 pass=3 polled=2 entries=2 ready=1
    1 task 20 repoll_select_result task=20 call=poll ret=1 passes=3 polled=6 entries=2 wakeups=3 sleeps=2 bytes_in=16 bytes_out=4
    1 task 20 sys_enter_read fd=4
";

#[test]
fn a_wake_up_in_vain_ends_with_the_pass() {
    let stories = stories(POLL);
    let [vain, useful] = &stories[..] else {
        panic!("{stories:#?}")
    };
    assert_eq!(names(vain), "callback, scheduler, running, poll, pass");
    assert_eq!(
        vain.steps[3].detail,
        "of fd 3: no longer ready (and 1 more wake-up)"
    );
    assert_eq!((vain.missing, vain.receiver.as_str()), (None, ""));
    assert_eq!(
        names(useful),
        "callback, scheduler, running, poll, pass, returns, use"
    );
    assert_eq!(useful.steps[4].detail, "2 files polled, 1 ready");
    assert_eq!(useful.receiver, "caller (20)");
}

#[test]
fn wake_ups_and_polls_in_vain_are_counted() {
    let records = records(POLL);
    let statistics = Statistics::of(&records, &story::all(&records), &Filter::default());
    let caller = &statistics.callers[&20];
    assert_eq!(
        (caller.calls["poll"], caller.successful, caller.passes),
        (1, 1, 3)
    );
    assert_eq!((caller.asked, caller.in_vain, caller.ready), (6, 5, 1));
    assert_eq!(
        (
            caller.sleeps,
            caller.wakeups,
            caller.mismatches,
            caller.useless
        ),
        (2, 3, 1, 1)
    );
    assert_eq!(
        (caller.bytes_in, caller.bytes_out, caller.entries),
        (16, 4, 2)
    );
    assert_eq!(caller.comm, "caller");
    let other = Filter(vec!["task=21".parse().expect("a condition")]);
    assert!(Statistics::of(&records, &[], &other).callers.is_empty());
}

#[test]
fn a_timer_expires_in_a_softirq() {
    // As with PREEMPT_RT, where a task of higher priority preempts the softirq.
    let stories = stories(
        "
    0 soft 7 softirq_entry vec=8
    0 hard 7 irq_handler_entry irq=3 name=disk
    0 soft 7 hrtimer_expire_entry function=1
    0 task 8 sched_waking pid=9 comm=other target_cpu=0
    0 soft 7 repoll_callback ep=1 item=1 fd=4 key=1 outcome=queued
    0 soft 7 repoll_queue ep=1 item=1 fd=4 reason=callback
    0 soft 7 repoll_callback_exit ep=1 item=1 fd=4 woken=0 used=0
",
    );
    let [story] = &stories[..] else {
        panic!("one story: {stories:#?}");
    };
    assert_eq!(story.cause, Cause::Softirq);
    assert_eq!(names(story), "timer, callback, ready queue");
}

/// A source with three messages: the first two wake a sleeping reader, the third waits in the
/// queue.
const SOURCE: &str = "
    0 task 10 repoll_source_sleep source=5 writer=reader
    1 hard 0 hrtimer_expire_entry function=1
    1 hard 0 repoll_source_arrive source=5 kind=timer message=1 length=8 queued=1
    1 hard 0 repoll_source_wake source=5 events=65 sleepers=1 pollers=0 signal=0
    1 hard 0 sched_waking pid=10 comm=reader target_cpu=0
    0 task 0 sched_switch prev_pid=0 prev_comm=idle next_pid=10 next_comm=reader
    0 task 10 repoll_source_take source=5 queued=0 message=1
    0 task 10 repoll_source_read source=5 nonblock=0 ret=8
    0 task 10 repoll_source_sleep source=5 writer=reader
    1 task 11 sys_enter_write fd=3
    1 task 11 repoll_source_arrive source=5 kind=write message=2 length=2 queued=1
    1 hard 11 irq_handler_entry irq=3 name=disk
    1 hard 11 irq_handler_exit irq=3 ret=1
    1 task 11 repoll_source_wake source=5 events=65 sleepers=1 pollers=1 signal=1
    1 task 11 sched_waking pid=10 comm=reader target_cpu=0
    1 task 11 repoll_callback ep=1 item=1 fd=4 key=65 outcome=queued
    1 task 11 repoll_queue ep=1 item=1 fd=4 reason=callback
    1 task 11 repoll_callback_exit ep=1 item=1 fd=4 woken=0 used=0
    1 task 11 repoll_source_write source=5 nonblock=0 ret=2
    1 task 11 sys_exit_write ret=2
    0 task 0 sched_switch prev_pid=0 prev_comm=idle next_pid=10 next_comm=reader
    1 task 11 repoll_source_arrive source=5 kind=write message=3 length=3 queued=2
    1 task 11 repoll_source_drop source=5 kind=write length=3 reason=full
    0 task 10 repoll_source_take source=5 queued=0 message=2
    0 task 10 repoll_source_read source=5 nonblock=0 ret=18
    0 task 10 repoll_source_take source=5 queued=0 message=3
    0 task 10 repoll_source_read source=5 nonblock=1 ret=3
    0 task 10 repoll_source_read source=5 nonblock=1 ret=-11
";

#[test]
fn a_message_goes_from_its_arrival_to_its_read() {
    let stories = stories(SOURCE);
    let found: Vec<_> = stories
        .iter()
        .map(|story| (story.cause, names(story)))
        .collect();
    let expected = [
        (
            Cause::Timer,
            "timer, arrival, wake-up, scheduler, running, read",
        ),
        (
            Cause::Write,
            "system call, arrival, wake-up, scheduler, running, read",
        ),
        (
            Cause::Write,
            "system call, arrival, source, callback, ready queue",
        ),
        (Cause::Write, "arrival, read"),
    ];
    let expected: Vec<_> = expected
        .map(|(cause, names)| (cause, names.to_owned()))
        .into();
    assert_eq!(found, expected, "{stories:#?}");
    assert!(stories.iter().all(|story| story.source == Some(5)));
    assert_eq!(
        stories[1].steps[2].detail,
        "of a task that sleeps in a read, of the source's pollers, by signal"
    );
    // The length includes the header.
    assert_eq!(stories[1].steps[5].detail, "18 bytes");
    assert_eq!(stories[2].missing, Some("delivery"));
}

#[test]
fn a_source_is_counted() {
    let records = records(SOURCE);
    let statistics = Statistics::of(&records, &story::all(&records), &Filter::default());
    let source = &statistics.sources[&5];
    assert_eq!((source.arrived["timer"], source.arrived["write"]), (1, 2));
    assert_eq!(
        (source.dropped["full"], source.reads, source.failed[&11]),
        (1, 3, 1)
    );
    assert_eq!(
        (source.read_sleeps, source.write_sleeps, source.most),
        (2, 0, 2)
    );
    assert_eq!(
        (source.woke_sleepers, source.woke_pollers, source.signals),
        (2, 1, 1)
    );
    assert_eq!(source.times.len(), 3);
    let only = Filter(vec!["source=5".parse().expect("a condition")]);
    let only = Statistics::of(&records, &[], &only);
    assert!(only.instances.is_empty() && only.sources.len() == 1);
}

#[test]
fn a_read_is_of_the_message_that_it_took() {
    let stories = stories(
        "0 task 1 repoll_source_arrive source=5 kind=write message=8 length=1 queued=2
         0 task 1 repoll_source_arrive source=5 kind=write message=9 length=1 queued=3
         0 task 2 repoll_source_take source=5 queued=2 message=7
         0 task 2 repoll_source_read source=5 nonblock=0 ret=1
         0 task 2 repoll_source_take source=5 queued=1 message=8
         1 task 3 repoll_source_take source=5 queued=0 message=9
         1 task 3 repoll_source_read source=5 nonblock=0 ret=1
         0 task 2 repoll_source_read source=5 nonblock=0 ret=-14
         1 task 3 repoll_source_take source=5 queued=0 message=8
         1 task 3 repoll_source_read source=5 nonblock=0 ret=1",
    );
    let reads: Vec<_> = stories
        .iter()
        .map(|story| (story.steps[0].at, story.steps.get(1).map(|step| step.at)))
        .collect();
    assert_eq!(reads, [(0, Some(9)), (1, Some(6))], "{stories:#?}");
}

#[test]
fn a_woken_thread_that_comes_too_late_is_left_out() {
    // Thread 20 is woken; thread 30 takes the event first.
    let records: Vec<Record> = records(
        "0 task 1 repoll_callback ep=1 item=1 fd=9 key=1 outcome=queued
         0 task 1 repoll_queue ep=1 item=1 fd=9 reason=callback
         0 task 1 repoll_wake ep=1 waiters=1 pollers=0
         0 task 1 sched_waking pid=20 comm=two target_cpu=1
         0 task 1 repoll_callback_exit ep=1 item=1 fd=9 woken=1 used=0
         1 task 0 sched_switch prev_pid=0 prev_comm=idle next_pid=20 next_comm=two
         0 task 30 repoll_poll ep=1 item=1 fd=9 events=1 ready=1
         0 task 30 repoll_deliver ep=1 item=1 fd=9 events=1 data=2
         0 task 30 repoll_wait_exit ep=1 ret=1",
    );
    let stories = story::all(&records);
    assert_eq!(
        names(&stories[0]),
        "callback, ready queue, wake-up, poll, delivery, wait returns"
    );
}
