//! The shapes in which pools of the field say yes and no. `$id` stands for the request's id.

/// Three ways to accept a share: cgminer-style pools, Miningcore (null members omitted), and another order of keys.
pub const SUCCESS_SHAPES: [&str; 3] = [
    r#"{"id":$id,"result":true,"error":null}"#,
    r#"{"id":$id,"result":true}"#,
    r#"{"error":null,"id":$id,"result":true}"#,
];

/// p2pool's *successful* authorize. Never an acceptance of a share.
pub const NULL_SUCCESS_SHAPE: &str = r#"{"id":$id,"result":null,"error":null}"#;

/// Seven ways to refuse, in this order: DATUM, eloipool, btcpool and public-pool; node-stratum-pool (two elements);
/// Miningcore's object; ckpool for a share (the error is null); ckpool for a parameter; Lumerin (code as a string);
/// and a bare `false`.
pub const FAILURE_SHAPES: [&str; 7] = [
    r#"{"id":$id,"result":null,"error":[23,"high-hash",null]}"#,
    r#"{"id":$id,"result":null,"error":[21,"job not found"]}"#,
    r#"{"id":$id,"result":false,"error":{"code":21,"message":"job not found","data":null}}"#,
    r#"{"reject-reason":"Stale","result":false,"error":null,"id":$id}"#,
    r#"{"result":false,"error":"Worker mismatch","id":$id}"#,
    r#"{"id":$id,"result":null,"error":["22","Duplicate share"]}"#,
    r#"{"id":$id,"result":false,"error":null}"#,
];

/// `shape` with the id in it, or without the id member where the request had none.
pub fn fill(shape: &str, id: &str) -> String {
    if id.is_empty() {
        return shape.replace("\"id\":$id,", "").replace(",\"id\":$id", "");
    }
    shape.replace("$id", id)
}
