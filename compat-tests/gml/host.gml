// Hosts a game with the sample's scripts and says what happens, one key=value a line.
//
//   gml-run --project gml-client-sample --driver compat-tests/gml/host.gml --set NAME=VALUE ...
//
// master_ip, master_port: the master server (127.0.0.1, 6510)
// game_port: the UDP port to play on (0: any)
// data1 ... data8: the data strings ("game", then empty)
// new_data1, new_data1_after: changes data1 so many seconds after the start (never)
// x, y: the position that is sent to every player, ten times a second (1, 2)
// leave_after: stops hosting so many seconds after the start (never)
//
// state=  reason=  player=IP:PORT  left=IP:PORT  position=X,Y (of a player)  steps_per_second=N

function setting(_name, _default) {
    return variable_global_exists(_name) ? variable_global_get(_name) : _default;
}

function say(_key, _value) {
    show_debug_message(_key + "=" + string(_value));
}

var _data = [setting("data1", "game")];
for (var _i = 2; _i <= 8; ++_i) array_push(_data, setting("data" + string(_i), ""));
host = punch_host_create(setting("master_ip", "127.0.0.1"), setting("master_port", 6510), setting("game_port", 0), _data);
new_data1 = setting("new_data1", "");
new_data1_at = current_time + 1000 * setting("new_data1_after", infinity);
leave_at = current_time + 1000 * setting("leave_after", infinity);
my_x = setting("x", 1);
my_y = setting("y", 2);
next_send = 0;
said_state = "";
said_reason = "";
known = [];
steps = 0;
second_ends = current_time + 1000;

#event step
if (current_time >= leave_at) {
    punch_host_destroy(host);
    say("state", punch_host_state(host));
    game_end(0);
    exit;
}
punch_host_step(host);
if (current_time >= new_data1_at) {
    new_data1_at = infinity;
    punch_host_set_data(host, 1, new_data1);
}
if (punch_host_state(host) != said_state) {
    said_state = punch_host_state(host);
    say("state", said_state);
    said_reason = "";           // said again with the new state
}
if (punch_host_reason(host) != said_reason) {
    said_reason = punch_host_reason(host);
    say("reason", said_reason);
}

var _players = punch_host_players(host);
for (var _i = 0; _i < array_length(_players); ++_i) {
    if (!variable_struct_exists(_players[_i].game, "known")) {
        _players[_i].game.known = true;
        array_push(known, _players[_i]);
        say("player", _players[_i].ip + ":" + string(_players[_i].port));
    }
}
for (var _i = array_length(known) - 1; _i >= 0; --_i) {
    if (!array_contains(_players, known[_i])) {
        say("left", known[_i].ip + ":" + string(known[_i].port));
        array_delete(known, _i, 1);
    }
}
if (current_time >= next_send) {
    next_send = current_time + 100;
    var _buffer = demo_position_write(0, my_x, my_y);
    for (var _i = 0; _i < array_length(_players); ++_i) {
        punch_host_send(host, _players[_i], _buffer, buffer_get_size(_buffer));
    }
    buffer_delete(_buffer);
}

++steps;
if (current_time >= second_ends) {
    second_ends += 1000;
    say("steps_per_second", steps);
    steps = 0;
}

#event networking
var _player = punch_host_network_event(host);
if (_player != undefined) {
    var _position = demo_position_read();
    if (_position != undefined) say("position", string(_position.x) + "," + string(_position.y));
}
