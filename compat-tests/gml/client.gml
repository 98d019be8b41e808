// Joins a game with the sample's scripts and says what happens, one key=value a line.
//
//   gml-run --project gml-client-sample --driver compat-tests/gml/client.gml --set NAME=VALUE ...
//
// master_ip, master_port: the master server (127.0.0.1, 6510)
// host_ip: the host to join; without it, the first game of the lobby that lists one
// direct_port: the host's game port, if known (0: unknown)
// x, y: the position that is sent to the host, ten times a second (3, 4)
// leave_after: leaves so many seconds after it was connected (never)
//
// state=  way=  reason=  data=D1|...|D8 (of the host)  position=X,Y (of the host)  steps_per_second=N

function setting(_name, _default) {
    return variable_global_exists(_name) ? variable_global_get(_name) : _default;
}

function say(_key, _value) {
    show_debug_message(_key + "=" + string(_value));
}

client = punch_client_create(setting("master_ip", "127.0.0.1"), setting("master_port", 6510));
lobby = punch_lobby_create(setting("master_ip", "127.0.0.1"), setting("master_port", 6510));
direct_port = setting("direct_port", 0);
host_ip = setting("host_ip", "");
if (host_ip != "") {
    punch_client_join(client, host_ip, direct_port);
} else {
    punch_lobby_refresh(lobby);
}
leave_after = setting("leave_after", infinity);
my_x = setting("x", 3);
my_y = setting("y", 4);
next_send = 0;
said_state = "";
said_reason = "";
said_data = "";
steps = 0;
second_ends = current_time + 1000;

#event step
if (host_ip == "") {
    punch_lobby_step(lobby);
    if (array_length(punch_lobby_entries(lobby)) > 0) {
        host_ip = punch_lobby_entries(lobby)[0].ip;
        punch_client_join(client, punch_lobby_entries(lobby)[0], direct_port);
    } else if (punch_lobby_state(lobby) != PUNCH_ASKING && punch_lobby_age(lobby) > 1) {
        punch_lobby_refresh(lobby);
    }
}
punch_client_step(client);
if (punch_client_state(client) != said_state) {
    said_state = punch_client_state(client);
    say("state", said_state);
    if (said_state == PUNCH_CONNECTED) say("way", punch_client_way(client));
    said_reason = "";           // said again with the new state
}
if (punch_client_reason(client) != said_reason) {
    said_reason = punch_client_reason(client);
    say("reason", said_reason);
}
var _host_data = punch_client_host_data(client), _data = "";
for (var _i = 0; _i < array_length(_host_data); ++_i) _data += ((_i > 0) ? "|" : "") + _host_data[_i];
if (_data != said_data) {
    said_data = _data;
    say("data", said_data);
}
if (punch_client_state(client) == PUNCH_CONNECTED) {
    if (punch_client_state_time(client) >= leave_after) {
        punch_client_destroy(client);
        say("state", punch_client_state(client));
        game_end(0);
        exit;
    }
    if (current_time >= next_send) {
        next_send = current_time + 100;
        var _buffer = demo_position_write(0, my_x, my_y);
        punch_client_send(client, _buffer, buffer_get_size(_buffer));
        buffer_delete(_buffer);
    }
}

++steps;
if (current_time >= second_ends) {
    second_ends += 1000;
    say("steps_per_second", steps);
    steps = 0;
}

#event networking
punch_lobby_network_event(lobby);
if (punch_client_network_event(client)) {
    var _position = demo_position_read();
    if (_position != undefined) say("position", string(_position.x) + "," + string(_position.y));
}
