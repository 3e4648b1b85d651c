// Crops, mirrors and normalizes training images from a set in device memory.

// table (3, 256) has the value of each byte for each channel. placements (N, 4): index of the image, rows down, columns right, mirrored.
KERNEL place_images(u32 batch, u32 height, u32 width, const u8* images, const float* table, const int* placements,
                    float* out) {
    u32 plane = height * width;
    FOR_EACH(at, batch * 3 * plane) {
        u32 n = at / (3 * plane), channel = at / plane % 3, row = at % plane / width, column = at % width;
        const int* placement = placements + 4 * n;
        int from_row = int(row) + placement[1];
        int from_column = int(placement[3] ? width - 1 - column : column) + placement[2];
        bool inside = from_row >= 0 && from_row < int(height) && from_column >= 0 && from_column < int(width);
        // A set may have 2^32 bytes or more.
        u64 place = ((u64(placement[0]) * 3 + channel) * height + u64(inside ? from_row : 0)) * width +
                    u64(inside ? from_column : 0);
        out[at] = table[channel * 256 + (inside ? images[place] : 0)];
    }
}
