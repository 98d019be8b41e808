button_list = [];
draw_set_halign(fa_left);
draw_set_valign(fa_top);

// The others' squares, as long as something was heard of them in the last three seconds.
for (var _i = 0; _i < array_length(squares); ++_i) {
    if (is_struct(squares[_i]) && current_time - squares[_i].seen_at < 3000) {
        draw_square(squares[_i].x, squares[_i].y, c_orange, (_i == 0) ? "host" : "player " + string(_i));
    }
}
if (host != undefined || client != undefined) draw_square(my_x, my_y, c_aqua, "you");

var _status = "Host a game, or join one of the list.", _reason = "";
if (host != undefined) {
    _status = "Hosting: " + punch_host_state(host) + " for " + string(floor(punch_host_state_time(host))) + " s";
    _reason = punch_host_reason(host);
}
if (client != undefined) {
    _status = "Joining " + client.host_ip + ": " + punch_client_state(client) + " for "
        + string(floor(punch_client_state_time(client))) + " s";
    _reason = punch_client_reason(client);
}
draw_set_colour(c_white);
draw_text(16, 12, _status);
draw_set_colour(c_yellow);
draw_text(16, 34, _reason);
draw_set_colour(c_ltgray);
draw_text(16, field_height - 24, punch_nat_advice(nat));

if (host != undefined || client != undefined) {
    draw_button(16, 64, "Stop", stop);
} else {
    draw_button(16, 64, "Host", start_hosting);
    draw_button(192, 64, "Refresh", refresh);
    draw_set_colour(c_white);
    var _lobby_reason = punch_lobby_reason(lobby);
    draw_text(368, 70, (_lobby_reason != "") ? _lobby_reason : "Games: " + punch_lobby_state(lobby));
    var _entries = punch_lobby_entries(lobby);
    for (var _i = 0; _i < array_length(_entries); ++_i) {
        var _entry = _entries[_i];
        // A struct around the entry, so that each button joins its own game.
        draw_button(16, 108 + 36 * _i, "Join", method({ demo : id, entry : _entry }, function() {
            demo.start_joining(entry);
        }));
        draw_set_colour(c_white);
        draw_text(192, 114 + 36 * _i, _entry.data[0] + "   " + _entry.data[1] + "   " + _entry.ip);
    }
}

if (host != undefined) {
    var _players = punch_host_players(host);
    draw_set_colour(c_white);
    for (var _i = 0; _i < array_length(_players); ++_i) {
        draw_text(700, 12 + 20 * _i, "player " + string(_players[_i].number) + "   " + _players[_i].ip + ":"
            + string(_players[_i].port));
    }
}
