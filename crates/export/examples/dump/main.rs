//! Prints the trace of a `.pt2` file.

mod text;

fn main() {
    for path in std::env::args().skip(1) {
        match modelcost_export::read_path(path.as_ref()) {
            Ok(trace) => print!("{}", text::text(&trace)),
            Err(error) => println!("{error}"),
        }
    }
}
