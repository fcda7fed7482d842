// SPDX-License-Identifier: GPL-2.0
//! The feeds of an event source from interrupts: the timer, and the network interface.

use crate::cases::source::device::{open, poll_now, read_messages};
use crate::cases::tracing::contexts::{context_of_timers, name_of, recording, records_of};
use crate::cases::tracing::network::{input_interrupts, peer};
use crate::prelude::*;
use anyhow::bail;
use repoll::sys::{
    repoll_source_attach, REPOLL_IOCTL_SOURCE_ATTACH, REPOLL_SOURCE_MAX_TIMERS,
    REPOLL_SOURCE_MIN_PERIOD,
};
use repoll::{Kind, Source};
use repoll_peer::Peer;
use repoll_testkit::processes::fork;
use repoll_testkit::raw;
use repoll_testkit::stall::StallingPage;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::process::Command;

pub fn tests() -> Vec<Test> {
    repoll_only!("source_feeds" within 90:
        a_timer_sends_numbers_from_where_timers_run,
        a_timer_wakes_a_sleeping_reader,
        a_timer_ends_and_is_replaced,
        a_timer_drops_the_newest,
        a_period_is_clamped,
        timers_are_counted_by_user,
        a_fast_timer_survives_open_and_close,
        frames_arrive_once_in_order_in_a_softirq,
        frames_wake_everybody,
        only_the_wanted_frames_arrive,
        frames_over_the_limits_are_counted,
        bad_attachments_are_refused,
        attaching_needs_a_capability,
        another_namespace_has_other_interfaces,
        loopback_frames_arrive,
        detached_means_silence,
        an_interface_that_goes_hangs_up,
        an_interface_that_moves_hangs_up,
        a_write_under_way_learns_of_the_hang_up,
        closing_and_removing_race,
        frames_without_an_ethernet_header_are_left_out,
    )
}

fn numbers(messages: &[Vec<u8>]) -> Result<Vec<u64>> {
    let number = |bytes: &Vec<u8>| Ok(u64::from_ne_bytes(bytes.as_slice().try_into()?));
    messages.iter().map(number).collect()
}

fn once(n: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(n)
}

fn a_timer_sends_numbers_from_where_timers_run() -> Result<()> {
    let mut source = Source::open()?;
    source.set_up(64, 16, true)?;
    let mut session = recording()?;
    source.start_timer(Duration::from_millis(5), once(10))?;
    let mut buffer = [0; 32];
    let mut last = (0, Duration::ZERO);
    while last.0 < 10 {
        let message = source.receive(&mut buffer)?;
        ensure!(message.kind == Kind::Timer, "{message:?}");
        let number = u64::from_ne_bytes(message.bytes.try_into()?);
        ensure!(
            number > last.0 && message.time > last.1,
            "{message:?} after {last:?}"
        );
        last = (number, message.time);
    }
    // That was all.
    source.set_nonblocking(true)?;
    sleep(2 * MOMENT);
    expect_error(source.read(&mut buffer), libc::EAGAIN)?;
    let arrived = records_of(&mut session, "repoll_source_arrive")?;
    let context = name_of(context_of_timers()?);
    for record in arrived {
        ensure!(record.field("context") == Some(context), "{record:?}");
        ensure!(record.field("kind") == Some("timer"), "{record:?}");
    }
    Ok(())
}

fn a_timer_wakes_a_sleeping_reader() -> Result<()> {
    let mut source = Source::open()?;
    let mut session = recording()?;
    source.start_timer(2 * MOMENT, once(1))?;
    ensure!(source.read(&mut [0; 8])? == 8);
    let slept = records_of(&mut session, "repoll_source_sleep")?;
    ensure!(slept.len() == 1, "{slept:?}");
    Ok(())
}

fn a_timer_ends_and_is_replaced() -> Result<()> {
    let source = open()?;
    source.stop_timer()?;
    source.start_timer(Duration::from_millis(1), None)?;
    ensure!(source.status()?.period == Duration::from_millis(1));
    eventually("it ticks", || Ok(source.status()?.arrived > 3))?;
    source.start_timer(Duration::from_secs(1000), None)?;
    read_messages(&source)?;
    let before = source.status()?.arrived;
    sleep(MOMENT);
    ensure!(source.status()?.arrived == before, "the old timer goes on");
    // A new timer counts anew.
    source.start_timer(Duration::from_millis(1), once(1))?;
    eventually("it ticks", || Ok(source.status()?.queued == 1))?;
    ensure!(numbers(&read_messages(&source)?)? == [1]);
    source.start_timer(Duration::from_millis(1), None)?;
    source.stop_timer()?;
    read_messages(&source)?;
    let status = source.status()?;
    ensure!(status.period.is_zero(), "{status:?}");
    sleep(MOMENT);
    ensure!(source.status()? == status, "it ticks though it was stopped");
    Ok(())
}

fn a_timer_drops_the_newest() -> Result<()> {
    let source = open()?;
    source.set_up(4, 16, false)?;
    let mut session = recording()?;
    source.start_timer(Duration::from_millis(2), None)?;
    eventually("it overflows", || {
        let status = source.status()?;
        Ok(status.queued == 4 && status.dropped >= 3)
    })?;
    source.stop_timer()?;
    let status = source.status()?;
    let trace = session.stop()?.records;
    let came: Vec<_> = trace
        .iter()
        .filter(|r| r.event() == "repoll_source_arrive" || r.field("reason") == Some("full"))
        .map(|r| r.event())
        .collect();
    // Four found room; all that came after did not.
    ensure!(
        came.len() as u64 == 4 + status.dropped,
        "{came:?} {status:?}"
    );
    ensure!(
        came[..4]
            .iter()
            .all(|event| *event == "repoll_source_arrive"),
        "{came:?}"
    );
    ensure!(
        came[4..].iter().all(|event| *event == "repoll_source_drop"),
        "{came:?}"
    );
    let kept = numbers(&read_messages(&source)?)?;
    ensure!(kept.len() == 4 && kept.is_sorted(), "{kept:?}");
    Ok(())
}

fn a_period_is_clamped() -> Result<()> {
    let source = open()?;
    let least = Duration::from_nanos(REPOLL_SOURCE_MIN_PERIOD.into());
    for period in [Duration::from_nanos(1), least / 2, least] {
        source.start_timer(period, once(1))?;
        ensure!(source.status()?.period == least);
    }
    let tomorrow = Duration::from_secs(86_400);
    source.start_timer(tomorrow, once(1))?;
    // The one before goes on when the next one is refused.
    expect_error(source.start_timer(Duration::MAX, None), libc::EINVAL)?;
    ensure!(source.status()?.period == tomorrow);
    Ok(())
}

fn timers_are_counted_by_user() -> Result<()> {
    let hour = Duration::from_secs(3600);
    let mut sources = Vec::new();
    for _ in 0..REPOLL_SOURCE_MAX_TIMERS {
        let source = open()?;
        source.start_timer(hour, None)?;
        // Once more on the same file is still one.
        source.start_timer(hour, None)?;
        sources.push(source);
    }
    let another = open()?;
    expect_error(another.start_timer(hour, None), libc::ENOSPC)?;
    sources[0].stop_timer()?;
    another.start_timer(hour, None)?;
    expect_error(sources[0].start_timer(hour, None), libc::ENOSPC)?;
    drop(another);
    sources[0].start_timer(hour, None)?;
    // Another user has a count of its own.
    let more = open()?;
    let child = fork(|| {
        processes::become_user(4321)?;
        more.start_timer(hour, None)
    })?;
    ensure!(child.wait()? == 0);
    Ok(())
}

/// At its highest rate, while the file is closed, opened and set up anew.
fn a_fast_timer_survives_open_and_close() -> Result<()> {
    let deadline = Instant::now() + settings::get().stress();
    let mut rounds = 0u32;
    while Instant::now() < deadline {
        let source = open()?;
        source.set_up(1 + rounds % 5, 16, rounds % 2 == 0)?;
        source.start_timer(Duration::from_nanos(1), None)?;
        if rounds % 3 == 0 {
            let _ = read_messages(&source)?;
        }
        if rounds % 4 == 0 {
            source.start_timer(Duration::from_nanos(1), once(3))?;
        }
        if rounds % 64 == 0 {
            sleep(Duration::from_millis(2));
            ensure!(source.status()?.arrived > 0, "it does not tick");
        }
        rounds += 1;
    }
    ensure!(rounds > 10, "{rounds} rounds");
    Ok(())
}

/// EtherTypes for experiments: IEEE 802, local.
pub const TYPE: u16 = 0x88b5;
const OTHER_TYPE: u16 = 0x88b6;

/// The interface that repoll-peer can send frames to, up.
pub fn interface() -> Result<(Peer, String)> {
    let peer = peer()?;
    for entry in fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        let address = fs::read_to_string(entry.path().join("address")).unwrap_or_default();
        if address.trim() == "52:54:00:12:34:57" {
            let name = entry.file_name().to_string_lossy().into_owned();
            run("ip", &["link", "set", &name, "up"])?;
            let carrier = entry.path().join("carrier");
            eventually("the carrier", || {
                Ok(fs::read_to_string(&carrier).is_ok_and(|text| text.trim() == "1"))
            })?;
            return Ok((peer, name));
        }
    }
    skip("no second network interface")
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn frames_arrive_once_in_order_in_a_softirq() -> Result<()> {
    const COUNT: u32 = 200;
    let (peer, name) = interface()?;
    let mut source = Source::open()?;
    source.set_up(COUNT, 1514, true)?;
    source.attach(&name, TYPE)?;
    ensure!(source.status()?.attached);
    let mut session = recording()?;
    let interrupts = input_interrupts()?;
    scope(|threads| {
        let sender = threads.spawn(|| peer.ask(&format!("frames {TYPE:x} {COUNT} 100 1")));
        let mut buffer = [0; 1530];
        let mut last = Duration::ZERO;
        for number in 0..COUNT {
            let message = source.receive(&mut buffer)?;
            let expected = repoll_peer::frame(TYPE, number, 100);
            ensure!(message.bytes == expected, "{number}: {message:?}");
            ensure!(message.kind == Kind::Frame && message.time >= last);
            last = message.time;
        }
        join(sender)??;
        anyhow::Ok(())
    })?;
    ensure!(
        input_interrupts()? > interrupts,
        "the NIC raised no interrupt"
    );
    source.set_nonblocking(true)?;
    sleep(MOMENT);
    ensure!(read_messages(&source)?.is_empty(), "more than was sent");
    let records = records_of(&mut session, "repoll_source_arrive")?;
    ensure!(records.len() == COUNT as usize, "{}", records.len());
    for record in records {
        ensure!(record.field("context") == Some("softirq"), "{record:?}");
    }
    // The longest frame, and the shortest.
    source.write_all(b"in between")?;
    for bytes in [1514, 60] {
        peer.ask(&format!("frames {TYPE:x} 1 {bytes}"))?;
        eventually("it arrives", || Ok(source.status()?.queued >= 1))?;
    }
    eventually("both arrive", || Ok(source.status()?.queued == 3))?;
    let messages = read_messages(&source)?;
    ensure!(messages[1][16..] == repoll_peer::frame(TYPE, 0, 1514));
    ensure!(messages[2][16..] == repoll_peer::frame(TYPE, 0, 60));
    Ok(())
}

fn frames_wake_everybody() -> Result<()> {
    let (peer, name) = interface()?;
    type Way = fn(&Source) -> Result<()>;
    let ways: [(&str, Way); 5] = [
        ("select", |s| {
            ensure!(files::select_in(s, LONG)?);
            Ok(())
        }),
        ("poll", |s| {
            ensure!(files::poll(s, libc::POLLIN, LONG)? & libc::POLLIN != 0);
            Ok(())
        }),
        ("epoll", |s| watched::<Epoll>(s)),
        ("repoll", |s| watched::<Repoll>(s)),
        ("read", |_| Ok(())),
    ];
    for (way, wait) in ways {
        let mut source = Source::open()?;
        source.attach(&name, TYPE)?;
        scope(|threads| {
            let sender = threads.spawn(|| {
                sleep(2 * MOMENT);
                peer.ask(&format!("frames {TYPE:x} 1 60"))
            });
            wait(&source).context(way)?;
            let mut buffer = [0; 2048];
            let length = source.read(&mut buffer).context(way)?;
            ensure!(buffer[..length] == repoll_peer::frame(TYPE, 0, 60), "{way}");
            join(sender)??;
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

fn watched<M: Multiplexer>(source: &Source) -> Result<()> {
    let m = M::new()?;
    m.add(source, EventFlags::IN, 7)?;
    let events = m.wait(4, Some(LONG))?;
    ensure!(events.len() == 1 && events[0].data() == 7, "{events:?}");
    Ok(())
}

fn only_the_wanted_frames_arrive() -> Result<()> {
    let (peer, name) = interface()?;
    let (wanted, other) = (open()?, open()?);
    let both = open()?;
    wanted.attach(&name, TYPE)?;
    other.attach(&name, OTHER_TYPE)?;
    both.attach(&name, TYPE)?;
    peer.ask(&format!("frames {TYPE:x} 2 60"))?;
    peer.ask(&format!("frames {OTHER_TYPE:x} 1 60"))?;
    peer.ask(&format!("frames {TYPE:x} 1 60"))?;
    eventually("they arrive", || {
        Ok(wanted.status()?.arrived >= 3
            && other.status()?.arrived >= 1
            && both.status()?.arrived >= 3)
    })?;
    sleep(MOMENT);
    ensure!(wanted.status()?.arrived == 3 && both.status()?.arrived == 3);
    ensure!(other.status()?.arrived == 1);
    ensure!(read_messages(&wanted)? == read_messages(&both)?);
    Ok(())
}

fn frames_over_the_limits_are_counted() -> Result<()> {
    let (peer, name) = interface()?;
    let source = open()?;
    source.set_up(3, 100, false)?;
    source.attach(&name, TYPE)?;
    let mut session = recording()?;
    peer.ask(&format!("frames {TYPE:x} 5 100 1"))?;
    peer.ask(&format!("frames {TYPE:x} 2 101 1"))?;
    eventually("they come", || {
        let status = source.status()?;
        Ok(status.dropped == 2 && status.too_long == 2)
    })?;
    let kept = read_messages(&source)?;
    let expected: Vec<_> = (0..3).map(|n| repoll_peer::frame(TYPE, n, 100)).collect();
    ensure!(kept == expected, "the oldest were not kept");
    let drops = records_of(&mut session, "repoll_source_drop")?;
    let reasons: Vec<_> = drops.iter().filter_map(|r| r.field("reason")).collect();
    ensure!(
        reasons == ["full", "full", "too-long", "too-long"],
        "{drops:?}"
    );
    Ok(())
}

fn bad_attachments_are_refused() -> Result<()> {
    let source = open()?;
    expect_error(source.detach(), libc::ENOTCONN)?;
    for ethertype in [0, 3, 4, 0x05ff] {
        expect_error(source.attach("lo", ethertype), libc::EINVAL)?;
    }
    expect_error(source.attach("no-such-one", TYPE), libc::ENODEV)?;
    expect_error(source.attach("", TYPE), libc::ENODEV)?;
    expect_error(source.attach(&"x".repeat(16), TYPE), libc::ENODEV)?;
    let mut raw = repoll_source_attach {
        ethertype: TYPE.into(),
        ..Default::default()
    };
    let ask = |raw: &repoll_source_attach| {
        let address = std::ptr::from_ref(raw) as usize;
        // SAFETY: the request reads a `repoll_source_attach`.
        unsafe { raw::ioctl(&source, REPOLL_IOCTL_SOURCE_ATTACH, address) }
    };
    raw.interface = [b'x' as _; 16];
    expect_error(ask(&raw), libc::EINVAL)?;
    raw.interface = Default::default();
    raw.interface[0] = b'l' as _;
    raw.interface[1] = b'o' as _;
    raw.ethertype = 0x1_88b5;
    expect_error(ask(&raw), libc::EINVAL)?;
    raw.ethertype = TYPE.into();
    raw.flags = 1;
    expect_error(ask(&raw), libc::EINVAL)?;
    raw.flags = 0;
    ask(&raw)?;
    expect_error(source.attach("lo", TYPE), libc::EBUSY)?;
    expect_error(source.attach("no-such-one", TYPE), libc::EBUSY)?;
    source.detach()?;
    expect_error(source.detach(), libc::ENOTCONN)?;
    source.attach("lo", 0x0600)?;
    source.detach()?;
    source.attach("lo", 0xffff)?;
    Ok(())
}

fn attaching_needs_a_capability() -> Result<()> {
    let source = open()?;
    let child = fork(|| -> Result<()> {
        processes::become_user(4321)?;
        expect_error(source.attach("lo", TYPE), libc::EPERM)?;
        // Nor does it tell which interfaces there are.
        expect_error(source.attach("no-such-one", TYPE), libc::EPERM)?;
        // An argument that is wrong in any case comes second.
        expect_error(source.attach("lo", 3), libc::EPERM)
    })?;
    ensure!(child.wait()? == 0);
    ensure!(!source.status()?.attached);
    Ok(())
}

/// The namespace is the opener's, not the caller's.
fn another_namespace_has_other_interfaces() -> Result<()> {
    let (peer, name) = interface()?;
    let ours = open()?;
    let child = fork(|| -> Result<()> {
        processes::unshare(libc::CLONE_NEWNET)?;
        let theirs = open()?;
        expect_error(theirs.attach(&name, TYPE), libc::ENODEV)?;
        theirs.attach("lo", TYPE)?;
        Ok(ours.attach(&name, TYPE)?)
    })?;
    ensure!(child.wait()? == 0);
    // In a user namespace of one's own, one has the capability there, but not where the source is
    // from.
    let child = fork(|| -> Result<()> {
        processes::become_user(4321)?;
        processes::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)?;
        expect_error(ours.attach("lo", TYPE), libc::EPERM)
    })?;
    ensure!(child.wait()? == 0, "EPERM is expected");
    peer.ask(&format!("frames {TYPE:x} 1 60"))?;
    eventually("it arrives", || Ok(ours.status()?.arrived == 1))
}

fn loopback_frames_arrive() -> Result<()> {
    // IPv4 over the loopback is Ethernet frames of type 0x0800.
    let source = open()?;
    source.attach("lo", 0x0800)?;
    let a = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let b = std::net::UdpSocket::bind("127.0.0.1:0")?;
    a.send_to(b"a datagram to be found", b.local_addr()?)?;
    let mut found = Vec::new();
    eventually("it arrives", || {
        found.extend(read_messages(&source)?);
        Ok(found
            .iter()
            .any(|frame| frame.ends_with(b"a datagram to be found")))
    })?;
    // The socket got it whole, too.
    let mut buffer = [0; 100];
    let length = b.recv(&mut buffer)?;
    ensure!(&buffer[..length] == b"a datagram to be found");
    let frame = found
        .iter()
        .find(|frame| frame.ends_with(b"to be found"))
        .context("frame")?;
    ensure!(
        frame.len() == 14 + 20 + 8 + 22 && frame[12..14] == [8, 0],
        "{frame:x?}"
    );
    Ok(())
}

fn detached_means_silence() -> Result<()> {
    let (peer, name) = interface()?;
    let source = open()?;
    for _ in 0..5 {
        source.attach(&name, TYPE)?;
        peer.ask(&format!("frames {TYPE:x} 3 60"))?;
        eventually("they arrive", || Ok(source.status()?.queued == 3))?;
        source.detach()?;
        peer.ask(&format!("frames {TYPE:x} 3 60"))?;
        sleep(MOMENT);
        // The messages are still there, and the source is like any other again.
        ensure!(read_messages(&source)?.len() == 3);
        let status = source.status()?;
        ensure!(
            !status.attached && !status.hung_up && status.dropped == 0,
            "{status:?}"
        );
        (&mut &source).write_all(b"as ever")?;
        ensure!(read_messages(&source)? == [b"as ever"]);
    }
    Ok(())
}

/// The virtio device behind an interface, and its driver, for bind and unbind.
pub fn virtio_device(name: &str) -> Result<String> {
    let link = fs::read_link(format!("/sys/class/net/{name}/device"))?;
    let device = link.file_name().context("no device")?;
    Ok(device.to_string_lossy().into_owned())
}

pub fn driver(action: &str, device: &str) -> Result<()> {
    fs::write(
        format!("/sys/bus/virtio/drivers/virtio_net/{action}"),
        device,
    )
    .with_context(|| format!("{action} {device}"))
}

/// Under load: frames are coming in while the driver is taken away, and a reader sleeps.
fn an_interface_that_goes_hangs_up() -> Result<()> {
    for round in 0..settings::get().loops(3) {
        let (peer, name) = interface()?;
        let device = virtio_device(&name)?;
        let source = Source::open()?;
        source.set_up(64, 128, false)?;
        source.attach(&name, TYPE)?;
        // One that nothing comes to.
        let idle = Source::open()?;
        idle.attach(&name, OTHER_TYPE)?;
        let m = Repoll::new()?;
        m.add(&idle, EventFlags::IN, 1)?;
        let result = scope(|threads| {
            let load = threads.spawn(|| peer.ask(&format!("frames {TYPE:x} 20000 100")));
            let sleepers = [(); 3].map(|()| threads.spawn(|| (&mut &idle).read(&mut [0; 2048])));
            let busy = threads.spawn(|| {
                let mut read = 0u64;
                loop {
                    match (&mut &source).read(&mut [0; 128]) {
                        Ok(length) => {
                            assert_eq!(length, 100);
                            read += 1;
                        }
                        Err(error) => return (read, error),
                    }
                }
            });
            eventually("load", || Ok(source.status()?.arrived > 50))?;
            driver("unbind", &device)?;
            let (read, error) = join(busy)?;
            ensure!(error.raw_os_error() == Some(libc::ENODEV), "{error}");
            let status = source.status()?;
            ensure!(
                status.read == read && status.arrived == read,
                "{read} {status:?}"
            );
            for sleeper in sleepers {
                let slept = join(sleeper)?;
                expect_error(slept, libc::ENODEV)?;
            }
            join(load)?.map(drop)
        });
        if result.is_ok() {
            for gone in [&source, &idle] {
                let status = gone.status()?;
                ensure!(status.hung_up && !status.attached, "{status:?}");
                ensure!(poll_now(gone)? == libc::POLLHUP, "{:x}", poll_now(gone)?);
                expect_error((&mut &*gone).write(b"x"), libc::ENODEV)?;
                expect_error((&mut &*gone).read(&mut [0; 2048]), libc::ENODEV)?;
            }
            let events = m.wait(4, Some(LONG))?;
            ensure!(
                events.len() == 1 && events[0].flags().contains(EventFlags::HUP),
                "{events:?}"
            );
            // A failed attempt to attach leaves it hung up; DETACH ends that.
            expect_error(source.attach("no-such-one", TYPE), libc::ENODEV)?;
            ensure!(source.status()?.hung_up);
            source.detach()?;
            ensure!(!source.status()?.hung_up);
            (&mut &source).write_all(b"x")?;
            ensure!((&mut &source).read(&mut [0; 128])? == 1);
        }
        driver("bind", &device).with_context(|| format!("round {round}"))?;
        result?;
        // It may come back, and so may the source that hung up.
        let (peer, name) = interface()?;
        idle.attach(&name, TYPE)?;
        // On a slow machine frames of the load are still on their way.
        eventually("a frame of 60 bytes", || {
            peer.ask(&format!("frames {TYPE:x} 1 60"))?;
            Ok((&mut &idle).read(&mut [0; 2048])? == 60)
        })?;
    }
    Ok(())
}

/// Messages that were queued before can still be read.
fn an_interface_that_moves_hangs_up() -> Result<()> {
    let (peer, name) = interface()?;
    let device = virtio_device(&name)?;
    let source = open()?;
    source.attach(&name, TYPE)?;
    peer.ask(&format!("frames {TYPE:x} 2 60"))?;
    eventually("they arrive", || Ok(source.status()?.queued == 2))?;
    let (reader, writer) = files::pipe()?;
    let child = fork(|| {
        let moved = processes::unshare(libc::CLONE_NEWNET).is_ok();
        let failed_read = files::write(&writer, &[u8::from(moved)]).is_ok();
        sleep(LONG);
        i32::from(!failed_read)
    })?;
    let mut moved = [0];
    eventually("a namespace", || {
        Ok(files::read(&reader, &mut moved).is_ok())
    })?;
    ensure!(moved == [1], "unshare");
    let result = run("ip", &["link", "set", &name, "netns", &child.0.to_string()]).and_then(|()| {
        ensure!(source.status()?.hung_up);
        let expected = libc::POLLIN | libc::POLLRDNORM | libc::POLLHUP;
        ensure!(poll_now(&source)? == expected, "{:x}", poll_now(&source)?);
        let mut buffer = [0; 2048];
        for number in 0..2 {
            let length = (&mut &source).read(&mut buffer)?;
            ensure!(buffer[..length] == repoll_peer::frame(TYPE, number, 60));
        }
        expect_error((&mut &source).read(&mut buffer), libc::ENODEV)
    });
    // The end of the namespace sends it back.
    child.kill_and_wait()?;
    // A physical device comes home.
    let home = format!("/sys/bus/virtio/devices/{device}/net");
    eventually("the interface is back", || {
        Ok(fs::read_dir(&home).is_ok_and(|mut names| names.next().is_some()))
    })?;
    result?;
    let Ok((_, _)) = interface() else {
        bail!("the interface is not back");
    };
    Ok(())
}

/// It has its room already, and waits for its memory, when the source hangs up. A reader may have
/// been failed_read that nothing more comes.
fn a_write_under_way_learns_of_the_hang_up() -> Result<()> {
    let (_, name) = interface()?;
    let device = virtio_device(&name)?;
    let source = open()?;
    source.attach(&name, TYPE)?;
    let page = StallingPage::new()?;
    let written = scope(|threads| {
        let writer = threads.spawn(|| files::write_from(&source, page.address(), 7));
        let touched = page.wait_for_touch(LONG);
        driver("unbind", &device)?;
        let failed_read = expect_error((&mut &source).read(&mut [0; 100]), libc::ENODEV);
        page.let_go()?;
        let written = join(writer)?;
        driver("bind", &device)?;
        touched.and(failed_read)?;
        anyhow::Ok(written)
    })?;
    expect_error(written, libc::ENODEV)?;
    ensure!(source.status()?.arrived == 0);
    interface().map(drop)
}

/// Attach, close and detach in several threads, while the driver comes and goes.
fn closing_and_removing_race() -> Result<()> {
    let (peer, name) = interface()?;
    let device = virtio_device(&name)?;
    let deadline = Instant::now() + settings::get().stress();
    let shared = open()?;
    let result = scope(|threads| {
        let name = &name;
        let shared = &shared;
        let workers: Vec<_> = (0..3)
            .map(|number| {
                threads.spawn(move || -> Result<u32> {
                    let mut attached = 0;
                    while Instant::now() < deadline {
                        let own = open()?;
                        let source = if number == 0 { shared } else { &own };
                        match source.attach(name, TYPE) {
                            Ok(()) => attached += 1,
                            Err(error) => {
                                let known = [libc::ENODEV, libc::EBUSY];
                                ensure!(
                                    error.raw_os_error().is_some_and(|e| known.contains(&e)),
                                    "{error}"
                                );
                            }
                        }
                        let _ = source.read_some();
                        if number != 2 {
                            let _ = source.detach();
                        }
                    }
                    Ok(attached)
                })
            })
            .collect();
        let load = threads.spawn(|| -> Result<()> {
            while Instant::now() < deadline {
                peer.ask(&format!("frames {TYPE:x} 500 60"))?;
            }
            Ok(())
        });
        while Instant::now() < deadline {
            sleep(MOMENT);
            driver("unbind", &device)?;
            driver("bind", &device)?;
            run("ip", &["link", "set", name, "up"])?;
        }
        let mut attached = 0;
        for worker in workers {
            attached += join(worker)??;
        }
        join(load)??;
        ensure!(attached > 0, "nobody ever attached");
        Ok(())
    });
    interface().context("the interface is not back")?;
    result
}

/// Reads what is there, whatever comes of it.
trait ReadSome {
    fn read_some(&self) -> std::io::Result<usize>;
}

impl ReadSome for Source {
    fn read_some(&self) -> std::io::Result<usize> {
        (&mut &*self).read(&mut [0; 2048])
    }
}

/// A network interface that this process makes the frames of.
struct Tun(File);

impl Tun {
    const NAME: &str = "repoll-tun";

    fn new(flags: i32) -> Result<Self> {
        let Ok(file) = File::options().read(true).write(true).open("/dev/net/tun") else {
            return skip("no /dev/net/tun");
        };
        // SAFETY: all zeroes is a request; the ioctl reads and writes one.
        unsafe {
            let mut request: libc::ifreq = std::mem::zeroed();
            for (to, from) in request.ifr_name.iter_mut().zip(Self::NAME.bytes()) {
                *to = from as libc::c_char;
            }
            request.ifr_ifru.ifru_flags = flags as libc::c_short;
            let address = std::ptr::from_mut(&mut request) as usize;
            raw::ioctl(&file, libc::TUNSETIFF as u32, address)?;
        }
        Ok(Self(file))
    }

    /// Makes it one of another type, which the kernel allows while it is down.
    fn set_type(&self, kind: u16) -> Result<()> {
        self.set("down")?;
        // SAFETY: the request takes a number.
        unsafe { raw::ioctl(&self.0, libc::TUNSETLINK as u32, kind.into()) }?;
        self.set("up")
    }

    fn set(&self, state: &str) -> Result<()> {
        let arguments = ["link", "set", Self::NAME, state];
        let status = Command::new("ip").args(arguments).status()?;
        ensure!(status.success(), "ip {arguments:?}: {status}");
        Ok(())
    }

    /// Has a frame of `TYPE` come in, and waits until the network core has dealt with it.
    fn receive(&mut self, header: &[u8]) -> Result<()> {
        let mut bytes = vec![0, 0];
        bytes.extend(TYPE.to_be_bytes());
        bytes.extend(header);
        bytes.extend([0xaa; 60]);
        ensure!(self.0.write(&bytes)? == bytes.len());
        sleep(MOMENT);
        Ok(())
    }
}

/// An interface that has no headers can be given the type of one that has, and the other way round.
fn frames_without_an_ethernet_header_are_left_out() -> Result<()> {
    let mut ethernet = [0xff; 14];
    ethernet[12..].copy_from_slice(&TYPE.to_be_bytes());
    let mut tap = Tun::new(libc::IFF_TAP)?;
    tap.set_type(libc::ARPHRD_ETHER)?;
    let source = open()?;
    source.attach(Tun::NAME, TYPE)?;
    tap.receive(&ethernet)?;
    eventually("it arrives", || Ok(source.status()?.arrived == 1))?;
    tap.set_type(libc::ARPHRD_PPP)?;
    tap.receive(&ethernet)?;
    let arrived = source.status()?.arrived;
    ensure!(arrived == 1, "{arrived}: the type changed");
    drop(tap);
    let mut tun = Tun::new(libc::IFF_TUN)?;
    tun.set_type(libc::ARPHRD_ETHER)?;
    let source = open()?;
    source.attach(Tun::NAME, TYPE)?;
    tun.receive(&[])?;
    let arrived = source.status()?.arrived;
    ensure!(arrived == 0, "{arrived}: there is no header");
    Ok(())
}
