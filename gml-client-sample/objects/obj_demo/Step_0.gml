// The punch_... functions go first: they do what is due, at any game speed.
punch_lobby_step(lobby);
punch_nat_step(nat);
if (host != undefined) punch_host_step(host);
if (client != undefined) punch_client_step(client);

// Arrow keys move the own square, 200 pixels a second.
var _distance = 200 * delta_time / 1000000;
my_x = clamp(my_x + _distance * (keyboard_check(vk_right) - keyboard_check(vk_left)), 16, field_width - 16);
my_y = clamp(my_y + _distance * (keyboard_check(vk_down) - keyboard_check(vk_up)), 16, field_height - 16);

if (current_time >= next_send) {
    next_send = current_time + send_every;
    send_positions();
}

// The buttons as they were drawn in the last step.
if (mouse_check_button_pressed(mb_left)) {
    for (var _i = 0; _i < array_length(button_list); ++_i) {
        var _button = button_list[_i];
        if (point_in_rectangle(mouse_x, mouse_y, _button.left, _button.top, _button.right, _button.bottom)) {
            _button.action();
            break;
        }
    }
}
