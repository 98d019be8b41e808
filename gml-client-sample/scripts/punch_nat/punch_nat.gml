// What the player's router does, and whether a relay will be needed: asks a master server by STUN
// (RFC 8489), as punchd answers it, at two of its ports. Create it, call punch_nat_step() in the Step
// event and punch_nat_network_event() in the Async - Networking event, and destroy it in the Clean Up event.

#macro PUNCH_NAT_ASKING "asking"        // not known yet
#macro PUNCH_NAT_EASY "easy"            // one port for all: most home routers
#macro PUNCH_NAT_HARD "hard"            // another port for each other side: many mobile networks
#macro PUNCH_NAT_UNKNOWN "unknown"      // the master server has no second port, or does not speak STUN
#macro PUNCH_NAT_TIMEOUT 4000           // milliseconds
#macro PUNCH_NAT_ASK_EVERY 500

/// @desc Begins to find out.
/// @param {String} _master_address  IP address of the master server; of several with commas between
/// @param {Real} _master_port
/// @param {Real} [_other_port]  its second UDP port (--alt-port): the next one, unless you know better
/// @returns {Struct.PunchNat}
function punch_nat_create(_master_address, _master_port, _other_port = _master_port + 1) {
    return new PunchNat(_master_address, [_master_port, _other_port]);
}

/// @desc What punch_nat_create() gives.
/// @param {String} _address
/// @param {Array<Real>} _ports
function PunchNat(_address, _ports) constructor {
    // Of several the first: what the router does is the same towards all.
    var _first = string_split(_address, ",")[0];
    address = (string_letters(_first) != "") ? network_resolve(_first) : _first;
    ports = _ports;
    seen = ["", ""];            // as which IP:PORT each of the two has seen us
    kind = PUNCH_NAT_ASKING;
    next_ask = 0;
    give_up_at = current_time + PUNCH_NAT_TIMEOUT;
    id_part = get_timer() mod 4294967296;
    // STUN has no header of GameMaker's, so this socket is raw; the router treats it as it does others.
    var _first = get_timer() mod 16000;
    socket = -1;
    for (var _i = 0; _i < 100 && socket < 0; ++_i) {
        socket = network_create_server_raw(network_socket_udp, 49152 + (_first + 41 * _i) mod 16000, 1);
    }
    if (socket < 0) kind = PUNCH_NAT_UNKNOWN;
}

/// @desc Asks again what was not answered; call it in the Step event.
/// @param {Struct.PunchNat} _nat
function punch_nat_step(_nat) {
    if (_nat.kind != PUNCH_NAT_ASKING) return;
    if (current_time >= _nat.give_up_at) {
        _nat.kind = PUNCH_NAT_UNKNOWN;
        return;
    }
    if (current_time < _nat.next_ask) return;
    _nat.next_ask = current_time + PUNCH_NAT_ASK_EVERY;
    for (var _i = 0; _i < 2; ++_i) {
        if (_nat.seen[_i] == "") __punch_nat_ask(_nat, _i);
    }
}

/// @desc Takes part in the Async - Networking event; call it there.
/// @param {Struct.PunchNat} _nat
/// @returns {Bool} whether it was an answer to this
function punch_nat_network_event(_nat) {
    if (_nat.socket < 0 || async_load[? "id"] != _nat.socket || async_load[? "type"] != network_type_data) return false;
    var _buffer = async_load[? "buffer"], _size = async_load[? "size"];
    // The last byte of the request's ID, which comes back, says which port was asked.
    if (_size < 20 || __punch_nat_number(_buffer, 0, 2) != 0x0101 || __punch_nat_number(_buffer, 4, 4) != 0x2112A442
            || __punch_nat_number(_buffer, 8, 4) != _nat.id_part) {
        return true;
    }
    var _asked = buffer_peek(_buffer, 19, buffer_u8);
    if (_asked > 1) return true;
    var _seen = __punch_nat_mapped(_buffer, _size);
    if (_seen != "") _nat.seen[_asked] = _seen;
    if (_nat.kind == PUNCH_NAT_ASKING && _nat.seen[0] != "" && _nat.seen[1] != "") {
        _nat.kind = (_nat.seen[0] == _nat.seen[1]) ? PUNCH_NAT_EASY : PUNCH_NAT_HARD;
    }
    return true;
}

/// @desc PUNCH_NAT_ASKING, then PUNCH_NAT_EASY, PUNCH_NAT_HARD or PUNCH_NAT_UNKNOWN.
/// @param {Struct.PunchNat} _nat
/// @returns {String}
function punch_nat_kind(_nat) {
    return _nat.kind;
}

/// @desc What that means, as a sentence for the player; "" while it is not known.
/// @param {Struct.PunchNat} _nat
/// @returns {String}
function punch_nat_advice(_nat) {
    switch (_nat.kind) {
        case PUNCH_NAT_EASY:
            return "Your router is easy: you can host and join, and need a relay only for players with a hard one.";
        case PUNCH_NAT_HARD:
            return "Your router is hard: join games of others; behind most routers that needs the master server's relay.";
        case PUNCH_NAT_UNKNOWN:
            return "What your router does is not known: the master server did not tell.";
    }
    return "";
}

/// @desc Frees everything. Do not use it afterwards.
/// @param {Struct.PunchNat} _nat
function punch_nat_destroy(_nat) {
    if (_nat.socket >= 0) network_destroy(_nat.socket);
    _nat.socket = -1;
}

// --- What the above is made of ---------------------------------------------------------

/// @desc A Binding request to one of the two ports.
/// @ignore
function __punch_nat_ask(_nat, _which) {
    // Type, length of what follows the 20 bytes, cookie; then the ID, of 12 bytes.
    var _bytes = [0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xA4, 0x42];
    var _buffer = buffer_create(20, buffer_fixed, 1);
    for (var _i = 0; _i < 8; ++_i) buffer_poke(_buffer, _i, buffer_u8, _bytes[_i]);
    for (var _i = 0; _i < 4; ++_i) {
        buffer_poke(_buffer, 8 + _i, buffer_u8, (_nat.id_part div power(256, 3 - _i)) mod 256);
    }
    for (var _i = 12; _i < 19; ++_i) buffer_poke(_buffer, _i, buffer_u8, get_timer() mod 256);
    buffer_poke(_buffer, 19, buffer_u8, _which);
    network_send_udp_raw(_nat.socket, _nat.address, _nat.ports[_which], _buffer, 20);
    buffer_delete(_buffer);
}

/// @desc A number of several bytes, the most significant first.
/// @ignore
function __punch_nat_number(_buffer, _at, _bytes) {
    var _number = 0;
    for (var _i = 0; _i < _bytes; ++_i) _number = 256 * _number + buffer_peek(_buffer, _at + _i, buffer_u8);
    return _number;
}

/// @desc The IP:PORT in XOR-MAPPED-ADDRESS, or "".
/// @ignore
function __punch_nat_mapped(_buffer, _size) {
    var _cookie = [0x21, 0x12, 0xA4, 0x42];
    var _at = 20;
    while (_at + 4 <= _size) {
        var _type = __punch_nat_number(_buffer, _at, 2), _length = __punch_nat_number(_buffer, _at + 2, 2);
        if (_type == 0x0020 && _length >= 8 && _at + 12 <= _size && buffer_peek(_buffer, _at + 5, buffer_u8) == 1) {
            var _ip = "";
            for (var _i = 0; _i < 4; ++_i) {
                _ip += (_i > 0 ? "." : "") + string(buffer_peek(_buffer, _at + 8 + _i, buffer_u8) ^ _cookie[_i]);
            }
            return _ip + ":" + string(__punch_nat_number(_buffer, _at + 6, 2) ^ 0x2112);
        }
        // Attributes fill up to four bytes.
        _at += 4 + 4 * ((_length + 3) div 4);
    }
    return "";
}
