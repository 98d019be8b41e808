// The one packet of the sample game: where a square is. Six bytes: 1, the player's number
// (0 is the host), x and y as 16-bit integers, low byte first.

#macro DEMO_POSITION 1

/// @desc Makes the packet. Delete the buffer when it is sent.
/// @param {Real} _number
/// @param {Real} _x
/// @param {Real} _y
/// @returns {Id.Buffer}
function demo_position_write(_number, _x, _y) {
    var _buffer = buffer_create(6, buffer_fixed, 1);
    buffer_write(_buffer, buffer_u8, DEMO_POSITION);
    buffer_write(_buffer, buffer_u8, _number);
    buffer_write(_buffer, buffer_s16, round(_x));
    buffer_write(_buffer, buffer_s16, round(_y));
    return _buffer;
}

/// @desc Reads the packet in async_load. Whatever another player sends may arrive here, so
///       what is not a position is refused.
/// @returns {Struct|Undefined} { number, x, y }
function demo_position_read() {
    var _buffer = async_load[? "buffer"];
    if (async_load[? "size"] != 6 || buffer_peek(_buffer, 0, buffer_u8) != DEMO_POSITION) return undefined;
    return {
        number : buffer_peek(_buffer, 1, buffer_u8),
        x : buffer_peek(_buffer, 2, buffer_s16),
        y : buffer_peek(_buffer, 4, buffer_s16)
    };
}
