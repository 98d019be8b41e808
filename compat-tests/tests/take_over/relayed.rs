//! Two games that do not get through otherwise, and packets that all arrive, each once, in order.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Data, Protocol};
use compat_tests::line_of_masters::Masters;
use compat_tests::master::loopback;
use compat_tests::raw;

use super::fixtures::{Ends, Host, Load, WAIT, gap, is_read_late, next_told};

/// After so long without one, no more packets are on their way.
const QUIET: Duration = Duration::from_secs(2);

/// What a server is told that is to relay as much as comes, at this address.
pub(crate) fn options(relay: IpAddr) -> Vec<String> {
    let text = "--relay-ports 20000-20031 --relay-packets 0 --relay-bytes 0 --relay";
    text.split(' ').map(str::to_owned).chain([relay.to_string()]).collect()
}

/// A host and a client that play by the relay.
pub(crate) struct Pair {
    host: Host,
    client: UdpSocket,
    _control: TcpStream,
    /// Where each finds the other.
    for_client: SocketAddr,
    for_host: SocketAddr,
}

impl Pair {
    /// They are told of each other and of the relay, and get through there.
    pub(crate) fn meet(master: SocketAddr, relay: IpAddr) -> Self {
        let mut host = Host::new(master, &Data::default());
        let client = raw::udp(loopback());
        client.send_to(&wire::udp_connect(Protocol::Modern), master).unwrap();
        let mut control = raw::connect(master, client.local_addr().unwrap().ip());
        control.write_all(&wire::connect(Protocol::Modern, host.at.ip())).unwrap();
        let for_client = told(&mut control, relay);
        let for_host = told(&mut host.control, relay);
        // Of what one sends before the other is there only the beginning is kept.
        for (socket, other, to) in
            [(&client, &host.game, for_client), (&host.game, &client, for_host)]
        {
            socket.send_to(&wire::datagram(b"here"), to).unwrap();
            other.set_read_timeout(Some(WAIT)).unwrap();
            is_read_late(other);
        }
        for (socket, from) in [(&client, for_client), (&host.game, for_host)] {
            while socket.recv_from(&mut [0; 256]).unwrap().1 != from {}
        }
        Self { host, client, _control: control, for_client, for_host }
    }

    /// Both send numbered packets until the load is over. Returns how many each has sent, which all have arrived.
    pub(crate) fn play(&self, load: &Load) -> usize {
        let (sent, is_sent) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let is_sent = &is_sent;
            let hearing = [(&self.host.game, self.for_host), (&self.client, self.for_client)]
                .map(|(socket, from)| scope.spawn(move || hear(socket, from, is_sent)));
            let mut next = Instant::now();
            load.repeat(Duration::ZERO, || {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next += gap();
                let number = sent.fetch_add(1, Ordering::Relaxed) as u64;
                let packet = wire::datagram(&number.to_be_bytes());
                self.client.send_to(&packet, self.for_client).unwrap();
                self.host.game.send_to(&packet, self.for_host).unwrap();
            });
            is_sent.store(true, Ordering::Relaxed);
            let sent = sent.load(Ordering::Relaxed);
            for thread in hearing {
                let numbers = thread.join().unwrap();
                let arrived: BTreeSet<usize> = numbers.iter().copied().collect();
                assert_eq!(arrived.len(), sent, "some packets are lost");
                assert!(numbers.into_iter().eq(0..sent), "in another order, or twice");
            }
            sent
        })
    }
}

/// The numbers of the packets from there, until all were sent and no more come.
fn hear(socket: &UdpSocket, at: SocketAddr, is_sent: &AtomicBool) -> Vec<usize> {
    socket.set_read_timeout(Some(QUIET)).unwrap();
    let (mut numbers, mut buffer) = (Vec::new(), [0; 256]);
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) if from == at => {
                let payload = wire::payload(&buffer[..length]).unwrap();
                numbers.push(u64::from_be_bytes(payload.try_into().unwrap()) as usize);
            }
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                if is_sent.load(Ordering::Relaxed) {
                    return numbers;
                }
            }
        }
    }
}

/// Where one is told that the other is at the relay.
fn told(control: &mut TcpStream, relay: IpAddr) -> SocketAddr {
    control.set_read_timeout(Some(WAIT)).unwrap();
    loop {
        let at = next_told(control);
        if at.ip() == relay {
            return at;
        }
    }
}

#[test]
fn no_relayed_packet_is_lost() {
    let relay = loopback();
    let options = options(relay);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut masters = Masters::start(&options);
    let pair = Pair::meet(masters.addr(), relay);
    let load = Load::default();
    std::thread::scope(|scope| {
        let _ends = Ends(&load);
        let playing = scope.spawn(|| pair.play(&load));
        load.wait_for(100);
        for _ in 0..8 {
            masters.succeed();
            load.wait_for(50);
        }
        load.is_over.store(true, Ordering::Relaxed);
        assert!(playing.join().unwrap() > 500);
    });
}
