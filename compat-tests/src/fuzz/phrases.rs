//! Whole requests, which random bytes would hardly ever hit upon. They have gaps for what the
//! server makes up: IDs, keys and tokens.

/// How long the word is that a gap stands for, if this byte is one.
pub(super) fn gap(byte: u8) -> Option<usize> {
    match byte {
        // An ID of rooms or events.
        b'@' => Some(16),
        // A key or a token.
        b'!' => Some(32),
        // An ID of natpunch.
        b'~' => Some(36),
        _ => None,
    }
}

/// What may be put into gaps, of something that the server has sent.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| !is_of_word(*byte)).filter(|run| is_word(run))
}

/// Whether a byte may be part of such a word.
pub(super) fn is_of_word(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')
}

/// Whether a run of such bytes is as long as one.
pub(super) fn is_word(run: &[u8]) -> bool {
    matches!(run.len(), 16 | 32 | 36)
}

/// What comes on connections.
pub(super) const STREAMS: [&[u8]; 57] = [
    b"reg2\n\x001.2.4\n\0game\n\0\n\0\n\0\n\0\n\0\n\0\n\0\n\0",
    b"reg2\n1.2.4\n<INV>\nb\nc\nd\ne\nf\ng\nh\n",
    b"reg2\n1.0\n\n\n\n\n\n\n\n\n",
    b"reg\n",
    b"connect\n127.0.0.1\n\0",
    b"connect\n127.0.0.2\n\0",
    b"connect\n127.0.0.1:1001\n",
    b"connect\n",
    b"lobby2\n\n\n\n\n\n\n\n\ndata1\nASC\n3\n",
    b"lobby2\ngame\n\n\n\n\n\n\n\ndate\nDESC\n\n",
    b"version\n",
    b"ping\n\0",
    br#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#,
    br#"{"type":"request","name":"login","data":{"id":"b"},"request_id":1}"#,
    br#"{"type":"request","name":"create_room","data":{"name":"r"},"request_id":1}"#,
    br#"{"type":"request","name":"q","dest":"a","request_id":1}"#,
    br#"{"type":"confirm_pass","name":"q","dest":"b","pass_id":1}"#,
    br#"{"type":"confirm_pass","pass_id":"1"}{"type":"response","request_id":"2"}"#,
    br#"{"type":"request","name":"join_room","data":{"room":"@"},"request_id":1}"#,
    br#"{"type":"request","name":"delete_room","data":{"room":"@"},"request_id":1}"#,
    br#"{"type":"request","name":"list_rooms","data":{"after":"@","limit":1},"request_id":1}"#,
    br#"{"type":"request","name":"list_rooms","request_id":1}"#,
    br#"{"type":"request","name":"leave_room","request_id":1}"#,
    br#"{"type":"request","name":"kick","data":{"id":"b"},"request_id":1}"#,
    br#"{"type":"request","name":"local_endpoints","data":{"local":[{"ip":"::1","port":9}]},"request_id":1}"#,
    br#"{"type":"confirm_pass","name":"punch_result","data":{"id":"a","ok":true},"pass_id":1}"#,
    b"\x16\x03\x01\0\x05hello",
    b"\xef\xbb\xbf{\"type\":\"request\",\"name\":\"login\",\"data\":{\"id\":\"\xe2\x80\x8ba\"},\"request_id\":1.0}\0",
    b"\x47\0\0\0{\"type\":",
    b"\xde\xc0\xad\xde\x0c\0\0\0\x05\0\0\0reg2\n",
    b"\0\n \r\n",
    br#"{"type":"request","name":"create_room","data":{"name":"r","max_players":4.0,"data":{"map":"x","n":1},"migrate":true,"mesh":1},"request_id":1}"#,
    br#"{"type":"request","name":"create_room","data":{"name":"r","private":true,"password":"p","locked":false},"request_id":1}"#,
    br#"{"type":"request","name":"update_room","data":{"name":"s","data":{"map":"y"},"locked":true,"password":""},"request_id":1}"#,
    br#"{"type":"request","name":"list_rooms","data":{"filter":{"map":"x","n":1.0},"free":true,"sort":"players","after":"@"},"request_id":1}"#,
    br#"{"type":"request","name":"watch_rooms","data":{"filter":{"map":"x"},"sort":"newest"},"request_id":1}"#,
    br#"{"type":"request","name":"unwatch_rooms","data":null,"request_id":1}"#,
    br#"{"type":"request","name":"join_room","data":{"code":"BCDFGH","password":"p","relay":"always"},"request_id":1}"#,
    br#"{"type":"request","name":"quick_join","data":{"filter":{"n":1}},"request_id":1}"#,
    br#"{"type":"request","name":"let_in","data":{"id":"b"},"request_id":1}"#,
    br#"{"type":"confirm_pass","name":"q","pass_id":"1"}{"type":"confirm_pass","name":"","pass_id":"2"}"#,
    br#"{"type":"request","name":"login","data":{"id":"a","secret":"0123456789abcdef0123456789abcdef"},"request_id":1}"#,
    br#"{"type":"request","name":"login","data":{"id":"a","keep":true},"request_id":1}"#,
    br#"{"type":"request","name":"login","data":{"id":"a","keep":true,"secret":"!"},"request_id":1}"#,
    b"GET /events HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n",
    // A ping, an answer to none, a goodbye, the two ends of a message, and the head of a long one.
    b"\x89\x84\0\0\0\0ping",
    b"\x8a\x80\0\0\0\0",
    b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x01\x81\0\0\0\0 ",
    b"\x80\x80\0\0\0\0",
    b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0{",
    b"GET /lobby?game=g&limit=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /lobby?limit=all HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /lobby HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"OPTIONS /lobby HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /lobby HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{",
];

/// How a page sends an event: in a frame, in two, or in one with a longer head and a ping behind it; masked
/// with nothing, so that the letters stay what they are.
pub(super) fn in_frames(event: &[u8], how: u8) -> Vec<u8> {
    let frame = |first: u8, payload: &[u8], is_long: bool| {
        let length = payload.len() as u16;
        let length = if is_long || length > 125 {
            [&[0xfe][..], &length.to_be_bytes()].concat()
        } else {
            vec![0x80 | length as u8]
        };
        [&[first][..], &length, &[0; 4], payload].concat()
    };
    match how {
        1 => frame(0x81, event, false),
        2 => {
            let (left, right) = event.split_at(event.len() / 2);
            [frame(0x01, left, false), frame(0x80, right, false)].concat()
        }
        _ => [frame(0x82, event, true), frame(0x89, b"?", false)].concat(),
    }
}

/// What comes in datagrams.
pub(super) const DATAGRAMS: [&[u8]; 47] = [
    b"status",
    b"rh",
    b"rh:n",
    b"rh:n:game=g:max=2:private:password=p:migrate:mesh:lan=10.0.0.1%3A9:d.map=m",
    b"rh:n:migrate:mesh",
    b"rl\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"rl:@",
    b"rl:@:game=g:free:d.map=m\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"jr:@",
    b"jr:@:password=p:game=g:lan=10.0.0.2%3A9",
    b"qj",
    b"qj:game=g:d.map=m",
    b"pc:@:ok",
    b"pc:@:fail",
    b"lr",
    b"cr",
    b"kc:id:@",
    b"kc:ip:127.0.0.2",
    b"rn:m",
    b"rs:unlocked:public:d.map=:!",
    b"li:id:@:!",
    b"lr:!",
    b"rc:@:!",
    b"ka",
    b"er:ka:noroom",
    b"udp:!",
    b"\0\x01\0\0\x21\x12\xa4\x42twelve bytes",
    b"\0\x01\0\x08\x21\x12\xa4\x42twelve bytes\0\x03\0\x04\0\0\0\x02",
    b"\0\x01\0\x08\x21\x12\xa4\x42twelve bytes\0\x27\0\x04\x03\xe9\0\0",
    b"\0\x01\0\x04\x21\x12\xa4\x42twelve bytes\x77\x77\0\0",
    b"\0\x01\0\0sixteen old byte",
    b"\x0a\0",
    // A registration of natpunch with a game (100) and a key (101), and its oldest clients' list.
    b"\x0a\x08\xa2\x06\x01g\xaa\x06\x01k",
    b"\x1a\0",
    b"\x0a\x0f\x0a\x0d\x0a\x07\x31\x30.0.0.1\x10\x80\x20",
    b"\x4a\x26\x0a\x24~",
    b"\x2a\x4c\x0a\x24~\x12\x24~",
    b"\x5a\x2b\x0a\x01l\x12\x24~\x18\x04",
    b"\x6a\x4c\x0a\x24~\x12\x24~",
    b"\x7a\0",
    b"\xa2\x01\x4c\x0a\x24~\x12\x24~",
    b"\xba\x01\x4c\x0a\x24~\x12\x24~",
    b"rl:cookie",
    b"rl:more:cookie=@",
    b"rl:@:cookie=@",
    // A list of natpunch: field 15, in it 100 with a cookie.
    b"\x7a\x04\xa2\x06\x01?",
    b"\x7a\x13\xa2\x06\x10@",
];
