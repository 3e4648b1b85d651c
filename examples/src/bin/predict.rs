//! Classify a picture with the network of a run directory.
//!
//! `cargo run --release -p stompp-examples --bin predict RUN IMAGE`
//!
//! `SavedRun::packed` returns the deploy network of the run, with one bit per binary weight. To classify with a packed file instead of
//! a run, see `stompp_train::Predictor`.

use stompp_train::SavedRun;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(dir), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("expected the directory of a run and an image".into());
    };
    let run = SavedRun::open(dir)?;
    let net = run.packed()?;
    // Size, crop, mean and deviation, exactly as in `stompp eval`.
    let view = run.preprocessing()?;
    let top = net.classify(&view.image(&std::fs::read(file)?)?)?;
    for likely in top.iter() {
        let percent = 100.0 * likely.probability;
        println!("{:<20} {percent:5.1} %", run.class_name(likely.class));
    }
    Ok(())
}
