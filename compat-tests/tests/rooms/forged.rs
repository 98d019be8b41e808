//! Others send requests in the name of a player, and it gets the answers of the master server.

use punchd::dialect::rooms::field::Id;

use super::*;

const ROOM: u64 = 0x1111_1111_1111_1111;
const OWN: u64 = 0x2222_2222_2222_2222;
const FOREIGN: u64 = 0x3333_3333_3333_3333;

/// A master server that answers a player, and before that somebody who asks for a room in the name of the player each
/// time that it comes back.
fn answers(socket: &UdpSocket) {
    let mut bytes = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let say = |text: String| _ = socket.send_to(text.as_bytes(), from);
        if text.starts_with("rc:") {
            say(format!("rh:{FOREIGN:016x}"));
            say(format!("rID:{FOREIGN:016x}:{:032x}", 7));
        }
        if text.starts_with("rc:") || text.starts_with("jr:") {
            say(format!("jr:{ROOM:016x}:{OWN:016x}:127.0.0.1:9"));
            say(format!("rID:{OWN:016x}:{:032x}", 5));
        }
    }
}

/// Its place is that which it was given, and ends with its own room.
#[test]
fn a_player_keeps_its_place_whatever_is_asked_in_its_name() {
    let master = UdpSocket::bind((loopback(), 0)).expect("a socket");
    let addr = master.local_addr().expect("an address");
    let server = master.try_clone().expect("a copy");
    std::thread::spawn(move || answers(&server));
    let mut player = Player::new(addr, SocketAddr::new(loopback(), 0), WAIT).expect("a player");
    let is_own = |place: compat_tests::rooms::Place| (place.room, place.id) == (Id(ROOM), Id(OWN));
    assert!(is_own(player.join(Id(ROOM)).expect("a place")));
    assert!(is_own(player.come_back().expect("a place")), "and not that of another");
    let at = player.local().expect("an address");
    for (room, is_out) in [(FOREIGN, false), (ROOM, true)] {
        master.send_to(format!("cr:{room:016x}").as_bytes(), at).expect("sending");
        wait_for(&mut [&mut player], |_, event| {
            matches!(event, Event::Told(Message::Closed(id)) if *id == Id(room)).then_some(())
        });
        assert_eq!(player.is_out(), is_out, "{room:x}");
    }
}
