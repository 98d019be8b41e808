// Async - Networking: each part takes what is its own; what is left belongs to the game.
punch_lobby_network_event(lobby);
punch_nat_network_event(nat);

if (host != undefined) {
    var _player = punch_host_network_event(host);
    if (_player != undefined) {
        var _position = demo_position_read();
        if (_position != undefined) {
            // The number in the packet is not believed: who sent it is known.
            _player.game = { x : _position.x, y : _position.y };
            move_square(_player.number, _position.x, _position.y);
        }
    }
}

if (client != undefined && punch_client_network_event(client)) {
    var _square = demo_position_read();
    if (_square != undefined) move_square(_square.number, _square.x, _square.y);
}
