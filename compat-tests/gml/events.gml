// Two of these meet in a room of events with the sample's scripts and talk, one key=value a line.
//
//   gml-run --project gml-client-sample --driver compat-tests/gml/events.gml --set NAME=VALUE ...
//
// master_ip, master_port: the master server (127.0.0.1, 6510)
// player, guest: the names of this player and of the one who comes second, if this one makes the room
//
// state=  reason=  joined=NAME  passed=NAME FROM TEXT  asked=NAME FROM  answered=DATA  refused=CODE

function setting(_name, _default) {
    return variable_global_exists(_name) ? variable_global_get(_name) : _default;
}

function say(_key, _value) {
    show_debug_message(_key + "=" + string(_value));
}

events = punch_events_create(setting("master_ip", "127.0.0.1"), setting("master_port", 6510),
    setting("player", "ann"), { game : "Sample" });
guest = setting("guest", "");
said = "";
reason = "";

#event step
punch_events_step(events);
if (punch_events_state(events) != said) {
    said = punch_events_state(events);
    say("state", said);
}
if (punch_events_reason(events) != reason) {
    reason = punch_events_reason(events);
    if (reason != "") say("reason", reason);
}
var _event = punch_events_next(events);
while (_event != undefined) {
    var _from = variable_struct_get(_event, "from");
    switch (_event.type + " " + _event.name) {
        case "response login":
            if (guest == "") punch_events_request(events, "quick_join");
            else punch_events_request(events, "create_room", { name : "Sample room" });
            break;
        case "response quick_join":
            if (variable_struct_get(_event, "error") != undefined) {
                say("refused", _event.error.code);
                break;
            }
            say("joined", _event.data.name);
            // A line end and what is no ASCII stay what they are.
            punch_events_pass(events, _event.data.host, "hello", { text : "a\nb \u00e9" });
            punch_events_request(events, "colour", {}, _event.data.host);
            break;
        case "pass hello":
            say("passed", _event.name + " " + _from + " " + string_replace(_event.data.text, "\n", "|"));
            break;
        case "request colour":
            say("asked", _event.name + " " + _from);
            punch_events_answer(events, _event, { colour : "red" });
            break;
        case "response colour":
            say("answered", _event.data.colour);
            break;
    }
    _event = punch_events_next(events);
}

#event networking
punch_events_network_event(events);
